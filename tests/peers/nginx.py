"""nginx with the configuration that the image carries, moved onto free loopback ports and into a folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.peers.ports import LOOPBACK, answers, free_port
from tests.peers.process import PeerFailed, Process, installed

# As in production it is never root. Debian's base system has this user.
USER = "www-data"


class Nginx:
    """A running nginx. `certificate.pem` and `key.pem` lie in `tls` and may be replaced."""

    def __init__(self, folder: Path, configuration: str, upstreams: dict[str, int]) -> None:
        """`upstreams` says which loopback port stands for each server that the configuration names ("web-a:8042")."""
        self.folder, self.tls = folder, folder / "tls"
        self.port, self.health_port = free_port(), free_port()
        self._user = USER if os.geteuid() == 0 else None
        text = configuration.replace("listen 8443 ", f"listen {LOOPBACK}:{self.port} ")
        text = text.replace("127.0.0.1:8080", f"{LOOPBACK}:{self.health_port}")
        text = text.replace(" /tmp/", f" {folder}/").replace("/etc/nginx/tls", str(self.tls))
        for name, port in upstreams.items():
            assert f"server {name} " in text
            text = text.replace(f"server {name} ", f"server {LOOPBACK}:{port} ")
        self._file = folder / "nginx.conf"
        self._file.write_text(text, "utf-8")
        self._program = installed("nginx", "nginx-light")

    def show(self, certificate: Path, key: Path) -> None:
        """Put these files where the configuration looks for them."""
        self.tls.mkdir(exist_ok=True)
        shutil.copy(certificate, self.tls / "certificate.pem")
        shutil.copy(key, self.tls / "key.pem")
        if self._user:
            for path in (self.folder, self.tls, *self.tls.iterdir()):
                shutil.chown(path, self._user, self._user)

    def check(self) -> str:
        """What `nginx -t` says. Raises PeerFailed where it finds a mistake."""
        ran = subprocess.run(
            [self._program, "-t", "-c", str(self._file)],
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise PeerFailed(ran.stderr)
        return ran.stderr

    def start(self) -> None:
        """Start it and wait until it answers. Raises PeerFailed."""
        command = [self._program, "-c", str(self._file), "-g", "daemon off;"]
        self._process = Process(command, log=self.folder.parent / "nginx.log", cwd=self.folder.parent, user=self._user)
        self._process.wait_until(lambda: answers(self.port))

    def reload(self) -> None:
        """Read configuration and certificate again; connections that are open go on."""
        os.kill(self._process.pid, signal.SIGHUP)

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._process.output

    def stop(self) -> int:
        """End it as the container's stop does."""
        return self._process.stop(signal.SIGQUIT)
