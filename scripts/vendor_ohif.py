"""Fetch OHIF's prebuilt viewer and make it fit under /ohif: reading_room/vendor/ohif (git-ignored).

Its pages were built for the root of a host and with inline scripts. Each rewrite below says how often it must match:
when a new version of OHIF moves things about, the install fails and names the rewrite, instead of a blank viewer.
What is never requested here is left out, and everything that a poor link must carry is compressed once.

All files lie in one folder named after the version and these rewrites, so that a browser may keep them for ever.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
TARGET: Final = ROOT / "reading_room" / "vendor" / "ohif"
NOTICES: Final = Path(__file__).with_name("ohif_notices.txt")
PACKAGE: Final = "@ohif/app@3.13.2"
INTEGRITY: Final = "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
INSIDE: Final = "package/dist/"

# What a browser asks for while looking at images. Left out: ort/ (segmentation by AI), source maps, the service
# worker, polyfills for browsers that cannot run OHIF anyway, sign-in by OIDC (we have our own), icons for telephones.
KEPT: Final = (
    "index.html",
    "*.js",
    "*.css",
    "*.wasm",
    "*.woff2",
    "assets/favicon*",
    "assets/images/*",
    "dicom-microscopy-viewer/*.js",
    "dicom-microscopy-viewer/*.wasm",
)
LEFT_OUT: Final = (
    "ort/*",
    "customizations/*",
    "app-config.js",  # ours is reading_room/static/ohif-config.js
    "google.js",
    "sw.js",
    "init-service-worker.js",
    "oidc-client.min.js",
    "es6-shim.min.js",
    "polyfill.min.js",
)
COMPRESSED: Final = (".js", ".css", ".wasm", ".svg", ".txt")


class InstallError(Exception):
    """Why the viewer cannot be installed, in words for whoever ran make."""


@dataclass(frozen=True)
class Rewrite:
    """Replace `pattern` in every file that fits `files`; it must match `times` in all (0: at least once).

    ``BASE`` in `replacement` stands for the folder's address, with a slash at the end.
    """

    why: str
    files: str
    pattern: str
    replacement: str
    times: int = 0


REWRITES: Final = (
    Rewrite("inline scripts: the security policy allows none", "index.html", r"<script>[^<]*</script>", "", 2),
    Rewrite("the service worker", "index.html", r'<script [^>]*src="/init-service-worker\.js"></script>', "", 1),
    Rewrite("the web app's manifest", "index.html", r'<link rel="manifest"[^>]*>', "", 1),
    Rewrite("icons for telephones", "index.html", r"<(?:link|meta) [^>]*(?:apple-|coast-|yandex-|mstile-)[^>]*>", ""),
    Rewrite("settings for old Windows", "index.html", r'<meta name="msapplication-[^>]*>', ""),
    Rewrite(
        "our settings",
        "index.html",
        r'<script [^>]*src="/app-config\.js">',
        '<script src="@@CONFIG@@" data-files="BASE">',
        1,
    ),
    Rewrite("the language, filled in for each reader", "index.html", r'<html lang="en">', '<html lang="@@LANG@@">', 1),
    Rewrite("addresses of scripts", "index.html", r'src="/', 'src="BASE'),
    Rewrite("addresses of style sheets and icons", "index.html", r'href="/', 'href="BASE'),
    Rewrite(
        "where bundles find each other", "*.js", r'__webpack_require__\.p = "/"', '__webpack_require__.p = "BASE"', 8
    ),
    Rewrite("addresses in style sheets", "*.css", r"url\(/(?!/)", "url(BASE"),
    Rewrite(
        "where the slide viewer is",
        "app.bundle.*.js",
        r"browserImportFunction\('/dicom-microscopy-viewer/",
        "browserImportFunction('BASEdicom-microscopy-viewer/",
        1,
    ),
    Rewrite(
        "the reader's language is the page's, not what some visit left in a cookie",
        "app.bundle.*.js",
        r"order: \['querystring', 'cookie', 'localStorage', 'navigator', 'htmlTag', 'path', 'subdomain'\]",
        "order: ['htmlTag']",
        1,
    ),
    Rewrite(
        "the language leaves no cookie", "app.bundle.*.js", r"caches: \['localStorage', 'cookie'\]", "caches: []", 1
    ),
    Rewrite(
        "our words beside its own",
        "app.bundle.*.js",
        r"(\.initializing = initI18n\(\));",
        r"\1.then(() => addLocales(window.config.words));",
        1,
    ),
    Rewrite(
        "its notice is one text, so that it can be said in Chinese",
        "app.bundle.*.js",
        r"\"OHIF Viewer is\", ' ', ",
        "",
        1,
    ),
    Rewrite(
        "a name's characters (PS3.5 6.2.1.1) are shown, in Chinese first of all, and not only its letters",
        "app.bundle.*.js",
        r"let nameToUse = name\.Alphabetic \?\? name;",
        'const characters = name.Ideographic?.replace("^", "");\n'
        '  let nameToUse = (document.documentElement.lang.startsWith("zh") ? characters || name.Alphabetic'
        " : name.Alphabetic || characters) ?? name;",
        1,
    ),
    Rewrite(
        "no button that would store measurements: reports are written beside the images",
        "*.js",
        r"/\*#__PURE__\*/(react\.createElement\([^{]{0,60}\{\s+size: \"sm\",\s+variant: \"ghost\","
        r"\s+className: \"pl-0\.5\",\s+onClick: e => \{\s+e\.stopPropagation\(\);\s+if \(actions\?\.createSR\))",
        r"false && \1",
        1,
    ),
    Rewrite("source maps that are left out", "*.js", r"//# sourceMappingURL=[^\n]*", ""),
)


def rewrite(files: Mapping[str, str], base: str, rewrites: Iterable[Rewrite] = REWRITES) -> dict[str, str]:
    """Apply the rewrites to texts by name; `base` is their future address, with a slash at the end.

    Raises
    ------
    InstallError
        When one matches nothing, or not as often as it must: its name and the counts.
    """
    texts = dict(files)
    for step in rewrites:
        found = 0
        replacement = step.replacement.replace("BASE", base)
        for name, text in texts.items():
            if fnmatch(name, step.files):
                texts[name], count = re.subn(step.pattern, replacement, text)
                found += count
        if found == 0 or step.times not in (0, found):
            wanted = f"{step.times} times" if step.times else "at least once"
            raise InstallError(f"{PACKAGE} is not as expected: {step.why!r} must match {wanted} and matched {found}.")
    return texts


def is_kept(name: str) -> bool:
    """Whether a file of the package is served; `name` is relative to its dist folder."""
    folder = name.rpartition("/")[0]
    if any(fnmatch(name, pattern) for pattern in LEFT_OUT):
        return False
    # fnmatch's star also crosses slashes: a pattern means files of one folder only.
    return any(fnmatch(name, pattern) and folder == pattern.rpartition("/")[0] for pattern in KEPT)


def check(tarball: bytes, integrity: str = INTEGRITY) -> None:
    """Raise `InstallError` unless the SHA-512 (base64) of what was fetched is the one that was tried."""
    found = base64.b64encode(hashlib.sha512(tarball).digest()).decode()
    if found != integrity:
        raise InstallError(f"{PACKAGE} has the SHA-512 {found}, not the one that was tried. Nothing was installed.")


def edition() -> str:
    """The folder's name: the version and a mark of these rewrites."""
    mark = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    return f"{PACKAGE.rpartition('@')[2]}-{mark}"


def fetch(folder: Path) -> bytes:
    """The package's tarball, by npm (which knows the registry)."""
    npm = shutil.which("npm", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if npm is None:
        raise InstallError("npm is missing: run `make install`, which puts it into .venv.")
    environment = os.environ | {"PATH": f"{Path(npm).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(
        [npm, "pack", "--silent", "--pack-destination", str(folder), PACKAGE],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    found = list(folder.glob("*.tgz"))
    if done.returncode != 0 or len(found) != 1:
        raise InstallError(f"npm could not fetch {PACKAGE} (exit status {done.returncode}).")
    return found[0].read_bytes()


def unpack(tarball: Path) -> tuple[dict[str, str], dict[str, bytes], bytes]:
    """Texts to rewrite, other files as they are, and the licence."""
    texts: dict[str, str] = {}
    others: dict[str, bytes] = {}
    licence = b""
    with tarfile.open(tarball) as package:
        for member in package:
            name = member.name.removeprefix(INSIDE)
            stream = package.extractfile(member) if member.isfile() else None
            if stream is None:
                continue
            if member.name == "package/LICENSE":
                licence = stream.read()
            elif member.name.startswith(INSIDE) and is_kept(name):
                content = stream.read()
                if name.endswith((".html", ".js", ".css")):
                    texts[name] = content.decode("utf-8")
                else:
                    others[name] = content
    if not licence:
        raise InstallError(f"{PACKAGE} carries no licence any more.")
    return texts, others, licence


def install(tarball: bytes, target: Path = TARGET) -> Path:
    """Make `target` hold exactly one edition; returns its folder. The old one stays until the new one is whole."""
    check(tarball)
    name = edition()
    with tempfile.TemporaryDirectory() as scratch:
        kept = Path(scratch) / "package.tgz"
        kept.write_bytes(tarball)
        texts, others, licence = unpack(kept)
    written = rewrite(texts, f"/ohif/{name}/")
    everything = {file: text.encode("utf-8") for file, text in written.items()} | others
    everything["LICENSES.txt"] = licence + b"\n\n" + NOTICES.read_bytes()
    target.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=target))
    for file, content in everything.items():
        path = new / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if path.suffix in COMPRESSED and len(content) > 1024:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(content, 9, mtime=0))
    new.chmod(0o755)
    for old in target.iterdir():
        if old != new and old.is_dir():
            shutil.rmtree(old)
    return new.rename(target / name)


def main() -> int:
    """Fetch, check, rewrite, write; the exit status is 1 when that failed."""
    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = install(fetch(Path(scratch)))
    except InstallError as error:
        print(f"OHIF was not installed: {error}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.suffix != ".gz")
    print(f"OHIF {folder.name}: {size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
