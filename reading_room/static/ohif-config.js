// OHIF's settings, read before it starts. Its address says what it may ask for: ?case= (one case and the priors of
// its patient), ?held= (one study by our own id) or ?share= (what a guest's link opens). The server checks every request; this only names the root.
"use strict";

console.time("scriptToView"); // OHIF ends this timer and warns when it was never begun
window.PUBLIC_URL = document.currentScript.dataset.files;
window.browserImportFunction = (address) => import(address);

const query = new URLSearchParams(location.search);
const ROOTS = { case: "readings", held: "held", share: "shares" };
const part = Object.keys(ROOTS).find((name) => /^[0-9A-Za-z-]{1,64}$/.test(query.get(name) || ""));
const root = part ? `/dicom-web/${ROOTS[part]}/${query.get(part)}` : "/dicom-web";
const inFrame = window.self !== window.top;
const chinese = document.documentElement.lang.startsWith("zh");

const words = {
  notDevice: chinese
    ? "本软件未注册为医疗器械，未经当地批准不得用于诊断"
    : "Not a registered medical device. Not for primary diagnosis without local approval.",
  compare: chinese ? "与既往检查对照" : "Beside an earlier study",
  changing: chinese ? "正在切换到下一个病例……" : "Changing to the next case …",
  noImages: chinese ? "当前病例没有图像" : "The case that is open has no images",
  reportClosed: chinese ? "报告页面已离开" : "its report page was left",
  whoUnknown: chinese ? "未能取得患者信息，请核对图像上的姓名" : "Whose images these are could not be asked: check the name on the images",
  signedOut: chinese
    ? "您已退出登录，图像不再加载。请在主页面重新登录后再打开。"
    : "You are signed out, and no more images are loaded. Please sign in on the main page and open the images again.",
  broken: chinese
    ? "有图像未能取得，请重新加载；如仍不行，请使用预览图。"
    : "An image could not be fetched. Please load again; if that does not help, use the previews.",
};

// Said once for a page, above the images: OHIF itself shows an empty viewport and a line in the console.
function say(text) {
  if (document.querySelector("[role=alert].huren")) return;
  const note = document.createElement("div");
  note.className = "huren";
  note.setAttribute("role", "alert");
  note.textContent = text;
  Object.assign(note.style, {
    position: "fixed", top: "0", left: "0", right: "0", zIndex: "1000", padding: "8px 16px",
    background: "#7d0a1d", color: "#fff", font: "14px sans-serif",
  });
  document.body.append(note);
}

// A window of its own beside a case's page (static/images.js) follows the case that its reader opens. It always says
// whose images it shows, and it covers those of the case before at once: nobody may read the wrong patient.
function followCase() {
  const channel = new BroadcastChannel("huren-second-screen");
  const shown = query.get("case");
  const whose = document.createElement("div");
  whose.setAttribute("role", "status");
  whose.className = "huren-whose";
  Object.assign(whose.style, {
    position: "fixed", bottom: "0", left: "50%", transform: "translateX(-50%)", zIndex: "1000", padding: "4px 16px",
    borderRadius: "6px 6px 0 0", background: "#0b3d5c", color: "#fff", font: "600 15px sans-serif", whiteSpace: "nowrap",
  });
  let who = "";
  const tell = (more) => { whose.textContent = [who, more].filter(Boolean).join(" · "); };
  const here = () => channel.postMessage({ say: "here", case: shown });
  let cover = null;
  const leave = (address) => {
    cover ??= document.body.appendChild(document.createElement("div"));
    cover.textContent = address ? words.changing : words.noImages;
    Object.assign(cover.style, {
      position: "fixed", inset: "0", zIndex: "2000", display: "grid", placeItems: "center", background: "#000",
      color: "#fff", font: "20px sans-serif",
    });
    if (address) location.replace(address);
  };

  channel.onmessage = ({ data }) => {
    if (data.say === "who") here();
    else if (data.say === "case" && data.case === shown && !cover) {
      whose.style.background = "#0b3d5c";
      tell("");
      here();
    } else if (data.say === "case") leave(/^\/ohif\/[a-z]+\?/.test(data.viewer) ? data.viewer : "");
    else if (data.say === "gone" && data.case === shown) {
      whose.style.background = "#7a4b00";
      tell(words.reportClosed);
    }
  };
  fetch(`/reading/${shown}/now`, { headers: { Accept: "application/json", "X-Huren-Poll": "1" } })
    .then((answer) => (answer.ok ? answer.json() : null))
    .then((row) => {
      who = row ? [row.name, row.number, row.accession_number].filter(Boolean).join(" · ") : "";
      document.title = who || document.title;
      tell(who ? "" : words.whoUnknown);
    })
    .catch(() => tell(words.whoUnknown));
  const begin = () => document.body.append(whose);
  if (document.body) begin(); else document.addEventListener("DOMContentLoaded", begin);
  here();
}
if (!inFrame && part === "case" && window.name === "huren-second-screen" && window.BroadcastChannel) followCase();

// The first series of pictures of the first study, and of the second, side by side.
const NO_PICTURES = ["SR", "DOC", "PR", "KO", "REG", "SEG", "RTSTRUCT", "RTPLAN", "RTRECORD"]; // PS3.3 C.7.3.1.1.1
function sideBySide() {
  const picture = (study) => ({
    studyMatchingRules: [
      { attribute: "studyInstanceUIDsIndex", from: "options", required: true, constraint: { equals: { value: study } } },
    ],
    seriesMatchingRules: [
      { attribute: "Modality", required: true, constraint: { doesNotInclude: { value: NO_PICTURES } } },
      { attribute: "numImageFrames", required: true, constraint: { greaterThan: { value: 0 } } },
    ],
  });
  const viewport = (id) => ({
    viewportOptions: { toolGroupId: "default", allowUnmatchedView: true },
    displaySets: [{ id }],
  });
  return {
    id: "huren-compare",
    name: words.compare,
    description: words.compare,
    numberOfPriorsReferenced: 1,
    protocolMatchingRules: [],
    toolGroupIds: ["default"],
    displaySetSelectors: { current: picture(0), prior: picture(1) },
    defaultViewport: viewport("current"),
    stages: [
      {
        name: "1x2",
        viewportStructure: { layoutType: "grid", properties: { rows: 1, columns: 2 } },
        viewports: [viewport("current"), viewport("prior")],
      },
    ],
  };
}

window.config = {
  name: "huren",
  routerBasename: "/ohif",
  extensions: [
    { id: "huren", getHangingProtocolModule: () => [{ name: "huren-compare", protocol: sideBySide() }] },
  ],
  modes: [],
  customizationService: {
    "ohif.tours": { $set: [] },
  },
  showStudyList: false,
  maxNumberOfWebWorkers: 3,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  groupEnabledModesFirst: true,
  allowMultiSelectExport: false,
  showErrorDetails: "production",
  disableConfirmationPrompts: true, // measurements are not stored, so there is nothing to confirm
  investigationalUseDialog: { option: "configure", days: 30 },
  // A browser keeps six connections to a host: what a reader looks at must not wait behind what may be wanted later.
  maxNumRequests: { interaction: 6, thumbnail: 3, prefetch: 4 },
  // Beside a report the page says whose images these are; a window of its own must say it.
  showPatientInfo: inFrame ? "disabled" : "visible",
  modesConfiguration: {
    "@ohif/mode-longitudinal": {
      routes: {
        0: {
          layoutInstance: {
            props: {
              leftPanelInitialExpandedWidth: { $set: inFrame ? 150 : 282 }, // pixels: one column of series, or two
              rightPanels: { $set: ["@ohif/extension-measurement-tracking.panelModule.trackedMeasurements"] },
            },
          },
        },
      },
    },
  },
  whiteLabeling: {
    createLogoComponentFn: (React) =>
      React.createElement("div", {
        style: { width: inFrame ? "170px" : "190px", fontSize: "11px", lineHeight: 1.3, color: "#e3c67a" },
      }, words.notDevice),
  },
  defaultDataSourceName: "huren",
  dataSources: [
    {
      namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
      sourceName: "huren",
      configuration: {
        friendlyName: "Huren",
        name: "huren",
        qidoRoot: root,
        wadoRoot: root,
        qidoSupportsIncludeField: true,
        imageRendering: "wadors",
        thumbnailRendering: "thumbnailDirect", // small pictures made by the server, in plain <img>
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        staticWado: false,
        supportsReject: false,
        supportsStow: false,
        dicomUploadEnabled: false,
        singlepart: "pdf,video",
        bulkDataURI: { enabled: true, relativeResolution: "studies" },
        omitQuotationForMultipartRequest: false, // PS3.18 8.6.1.2: the types are quoted
      },
    },
  ],
  httpErrorHandler: (error) => {
    const status = error.status || (error.request && error.request.status);
    if (status === 401) say(words.signedOut);
    else if (status !== 404) say(words.broken);
  },
  // Texts that OHIF's Chinese lacks, and its notice in words that are true here.
  words: {
    "en-US": {
      InvestigationalUseDialog: {
        "for investigational use only": 
          "OHIF Viewer is for investigational use only. Huren is not a registered medical device.",
      },
    },
    zh: {
      InvestigationalUseDialog: {
        "for investigational use only": "OHIF 阅片器仅供研究使用；互认未注册为医疗器械",
        "Learn more about OHIF Viewer": "关于 OHIF（外部网站）",
        "Confirm and hide": "知道了",
      },
    },
  },
};
