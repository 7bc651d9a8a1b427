// QT corrected for the heart rate. QT and RR in milliseconds, the answer in milliseconds; inside, RR in seconds and the
// rate in beats a minute.
//   Bazett      QT / RR^(1/2)                  (Heart 1920; 7: 353)
//   Fridericia  QT / RR^(1/3)                  (Acta Med Scand 1920; 53: 469)
//   Framingham  QT + 154 * (1 - RR)            (Sagie, Am J Cardiol 1992; 70: 797)
//   Hodges      QT + 1.75 * (60 / RR - 60)     (Hodges, JACC 1983; 1: 694)
export const FORMULAS = {
  Bazett: (qt, rr) => qt / Math.sqrt(rr / 1000),
  Fridericia: (qt, rr) => qt / Math.cbrt(rr / 1000),
  Framingham: (qt, rr) => qt + 154 * (1 - rr / 1000),
  Hodges: (qt, rr) => qt + 1.75 * (60000 / rr - 60),
};

const KEPT = "huren-ecg-formula"; // which of them this browser's reader takes

export function chosen() {
  try {
    const kept = localStorage.getItem(KEPT);
    return Object.hasOwn(FORMULAS, kept) ? kept : "Bazett";
  } catch {
    return "Bazett"; // storage may be switched off
  }
}
export function choose(name) {
  try { localStorage.setItem(KEPT, name); } catch { /* then it is chosen again */ }
}

// By the formula's name, in whole milliseconds; nothing where QT or RR is none that a heart has.
export function corrected(qt, rr) {
  if (!(qt >= 100 && qt <= 1000 && rr >= 200 && rr <= 3000)) return null;
  return Object.fromEntries(Object.entries(FORMULAS).map(([name, formula]) => [name, Math.round(formula(qt, rr))]));
}
