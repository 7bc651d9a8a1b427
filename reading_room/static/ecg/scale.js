// Millimetres on this screen. A browser does not know how large its screen is: CSS takes 96 pixels for an inch of 25.4 mm.
// A person who lays a ruler or a bank card on a shown bar says how large it truly is; that is kept for this browser and
// this screen, in device pixels, so that zooming the page does not matter.
const KEPT = "huren-ecg-scale";
export const CSS_MM = 96 / 25.4; // CSS pixels for a millimetre where nothing is known
export const CARD = 85.6; // mm: the width of a bank card (ISO/IEC 7810 ID-1)
export const LEAST = 1.5; // CSS pixels for a millimetre that a screen can have
export const MOST = 12;

export const SPEEDS = [12.5, 25, 50]; // mm/s
export const GAINS = [5, 10, 20]; // mm/mV

function screenName() {
  return `${screen.width}x${screen.height}`;
}

function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(KEPT) ?? "null");
    const css = found?.devicePixels / devicePixelRatio;
    return found?.screen === screenName() && css >= LEAST && css <= MOST ? css : 0;
  } catch {
    return 0; // storage may be switched off
  }
}

export const isCalibrated = () => kept() > 0;

// CSS pixels for one millimetre.
export const pixels = () => kept() || CSS_MM;

export function keep(css) {
  try {
    if (css) localStorage.setItem(KEPT, JSON.stringify({ screen: screenName(), devicePixels: css * devicePixelRatio }));
    else localStorage.removeItem(KEPT);
  } catch { /* it is asked again next time */ }
}
