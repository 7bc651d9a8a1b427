"""The image viewer's package is trimmed and rewritten, and the install fails in words when it is not as expected."""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.util
import io
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest


def _load() -> ModuleType:
    path = Path(__file__).resolve().parents[3] / "scripts" / "vendor_ohif.py"
    spec = importlib.util.spec_from_file_location("vendor_ohif", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


vendor = _load()
BASE = "/ohif/9/"

PAGE = (
    '<!doctype html><html lang="en"><head><meta name="msapplication-TileColor" content="#fff">'
    '<meta name="msapplication-TileImage" content="/assets/mstile-144x144.png">'
    '<script>console.time("x"),window.PUBLIC_URL="/"</script><link rel="manifest" href="/manifest.json">'
    '<link rel="icon" href="/assets/favicon.ico">'
    '<link rel="apple-touch-icon" href="/assets/apple-touch-icon-57x57.png">'
    '<script rel="preload" as="script" src="/app-config.js"></script>'
    '<script rel="preload" type="module" src="/init-service-worker.js"></script>'
    '<script>function browserImportFunction(n){return import(n)}</script><script defer src="/app.bundle.1.js"></script>'
    '<link href="/app.bundle.css" rel="stylesheet"></head><body></body></html>'
)
APP = (
    '__webpack_require__.p = "/";\n'
    "await window.browserImportFunction('/dicom-microscopy-viewer/dicomMicroscopyViewer.min.js');\n"
    "order: ['querystring', 'cookie', 'localStorage', 'navigator', 'htmlTag', 'path', 'subdomain'],\n"
    "caches: ['localStorage', 'cookie'],\n"
    "i18n.initializing = initI18n();\n"
    "let nameToUse = name.Alphabetic ?? name;\n"
    "createElement('div', {}, \"OHIF Viewer is\", ' ', t('for investigational use only'));\n"
    '/*#__PURE__*/react.createElement(ui/* .Button */.$nd, {\n size: "sm",\n variant: "ghost",\n'
    ' className: "pl-0.5",\n onClick: e => {\n e.stopPropagation();\n if (actions?.createSR) {} } })\n'
    "//# sourceMappingURL=app.js.map\n"
)


def _files() -> dict[str, str]:
    bundles = {f"{n}.bundle.2.js": '__webpack_require__.p = "/";' for n in range(7)}
    return {
        "index.html": PAGE,
        "app.bundle.1.js": APP,
        "app.bundle.css": "a{src:url(/f.woff2)} b{src:url(data:x)}",
        **bundles,
    }


def test_everything_is_found_under_its_own_folder() -> None:
    made = vendor.rewrite(_files(), BASE)
    page = made["index.html"]
    assert 'src="/ohif/9/app.bundle.1.js"' in page
    assert 'href="/ohif/9/app.bundle.css"' in page
    assert 'href="/ohif/9/assets/favicon.ico"' in page
    assert made["app.bundle.css"] == "a{src:url(/ohif/9/f.woff2)} b{src:url(data:x)}"
    assert '__webpack_require__.p = "/ohif/9/"' in made["3.bundle.2.js"]
    assert "browserImportFunction('/ohif/9/dicom-microscopy-viewer/" in made["app.bundle.1.js"]


def test_the_page_keeps_no_inline_script_and_asks_for_nothing_that_is_left_out() -> None:
    page = vendor.rewrite(_files(), BASE)["index.html"]
    assert page.count("<script") == 2
    assert '<script src="@@CONFIG@@" data-files="/ohif/9/"></script>' in page
    assert "function" not in page
    for gone in ("service-worker", "manifest", "apple", "mstile", "msapplication"):
        assert gone not in page
    assert '<html lang="@@LANG@@">' in page


def test_the_language_is_the_pages_and_leaves_no_cookie() -> None:
    app = vendor.rewrite(_files(), BASE)["app.bundle.1.js"]
    assert "order: ['htmlTag']" in app
    assert "caches: []" in app
    assert "sourceMappingURL" not in app


@pytest.mark.parametrize("step", vendor.REWRITES, ids=lambda step: step.why)
def test_a_rewrite_that_matches_nothing_stops_the_install_and_is_named(step: object) -> None:
    with pytest.raises(vendor.InstallError, match="matched 0"):
        vendor.rewrite({"index.html": "<html>", "a.js": "", "a.css": "", "app.bundle.1.js": ""}, BASE, [step])


def test_a_rewrite_that_matches_another_number_of_times_stops_the_install() -> None:
    with pytest.raises(vendor.InstallError, match="must match 8 times and matched 9"):
        vendor.rewrite(_files() | {"new.bundle.js": '__webpack_require__.p = "/";'}, BASE)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("index.html", True),
        ("8097.bundle.1.js", True),
        ("1.wasm", True),
        ("f.woff2", True),
        ("assets/images/CT-Bone.png", True),
        ("dicom-microscopy-viewer/dataLoader.worker.min.js", True),
        ("dicom-microscopy-viewer/dicomMicroscopyViewer.min.js.map", False),
        ("ort/ort.wasm", False),
        ("ort/esm/ort.min.js", False),
        ("sw.js", False),
        ("app-config.js", False),
        ("assets/apple-touch-icon.png", False),
        ("_headers", False),
        ("customizations/tools/ctPresets.jsonc", False),
    ],
)
def test_only_what_is_requested_is_kept(name: str, kept: bool) -> None:
    assert vendor.is_kept(name) is kept


def test_another_package_than_the_one_that_was_tried_is_refused() -> None:
    good = base64.b64encode(hashlib.sha512(b"tried").digest()).decode()
    vendor.check(b"tried", good)
    with pytest.raises(vendor.InstallError, match="SHA-512"):
        vendor.check(b"triee", good)


def _tarball(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as package:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            package.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def test_an_edition_is_written_whole_and_replaces_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = "// code\n" * 500
    inside = {f"package/dist/{name}": text.encode() for name, text in (_files() | {"big.bundle.js": big}).items()}
    data = _tarball({"package/LICENSE": b"MIT", "package/dist/ort/ort.js": b"x", "package/dist/a.wasm": b"w", **inside})
    monkeypatch.setattr(vendor, "check", lambda tarball: None)
    (tmp_path / "1.0.0-old").mkdir()
    folder = vendor.install(data, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name] == [vendor.edition()]
    assert folder.name.startswith("3.13.2-")
    assert (folder / "a.wasm").read_bytes() == b"w"
    assert not (folder / "ort").exists()
    assert gzip.decompress((folder / "big.bundle.js.gz").read_bytes()) == big.encode()
    licences = (folder / "LICENSES.txt").read_text(encoding="utf-8")
    assert licences.startswith("MIT")
    for carried in ("CharLS", "OpenJPEG", "libjpeg-turbo", "OpenJPH"):
        assert carried in licences


def test_a_package_without_a_licence_is_refused(tmp_path: Path) -> None:
    kept = tmp_path / "p.tgz"
    kept.write_bytes(_tarball({"package/dist/index.html": PAGE.encode()}))
    with pytest.raises(vendor.InstallError, match="licence"):
        vendor.unpack(kept)
