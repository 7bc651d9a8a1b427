// The channel between a case's page and the window with its images. Its words: "case" (look at this one), "gone" (the
// page of this case was left), "who" (is a window there?), and the window's answer "here" with the case that it shows.
export const WINDOW = "huren-second-screen"; // the window's name: links with this target open in it
export const AROUND = 4000; // milliseconds between two questions whether the window is still there

export function channel() {
  return window.BroadcastChannel ? new BroadcastChannel(WINDOW) : null;
}
