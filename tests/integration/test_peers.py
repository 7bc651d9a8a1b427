"""The peers themselves work, so that a failing test elsewhere speaks of Huren."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from pathlib import Path

import hl7
import psycopg
import pytest
import sqlalchemy
from hl7.client import CR, EB, SB
from playwright.sync_api import Browser
from pydicom import dcmread
from pydicom.data import get_testdata_file

from tests.peers import dcmtk, postgres
from tests.peers.his import ERROR, REJECT, SILENCE, Answer, His, late
from tests.peers.mllp_client import MllpClient, NoAnswer
from tests.peers.ports import LOOPBACK, answers, free_port
from tests.peers.process import PeerFailed, PeerMissing, Process, installed

ORDER = "MSH|^~\\&|HIS|TOWN|HUREN|COUNTY|20260101080000+0800||ORM^O01|{}|P|2.4\rPID|1||7^^^TOWN||王^小明\r"


def test_a_missing_program_is_named_with_its_package() -> None:
    with pytest.raises(PeerMissing, match=r"no-such-program is missing.*package some-package"):
        installed("no-such-program", "some-package")


def test_a_program_that_ends_early_fails_with_what_it_said(tmp_path: Path) -> None:
    with (
        Process(["sh", "-c", "echo out of luck; exit 3"], log=tmp_path / "log") as process,
        pytest.raises(PeerFailed, match=r"(?s)status 3.*out of luck"),
    ):
        process.wait_until(lambda: False)


def test_stopping_ends_what_the_program_started(tmp_path: Path) -> None:
    # The shell ignores being asked, and its child writes down its own number.
    with Process(["sh", "-c", "trap '' TERM; sleep 600 & echo $!; wait; wait"], log=tmp_path / "log") as process:
        process.wait_until(lambda: process.output.endswith("\n"))
        child = int(process.output)
        assert process.stop(seconds=0.2) == -9
    deadline = time.monotonic() + 10
    while runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_dcmtk_stores_from_one_program_to_the_other(tmp_path: Path) -> None:
    source = get_testdata_file("CT_small.dcm", download=False)
    assert isinstance(source, str)
    with dcmtk.storescp(tmp_path / "archive") as port:
        scu = dcmtk.Scu(port=port, calling="CT1", called="ARCHIVE")
        assert scu.echo().code == 0
        assert scu.store(Path(source)).code == 0
        (kept,) = (tmp_path / "archive").iterdir()
        assert dcmread(kept).SOPInstanceUID == dcmread(source).SOPInstanceUID
        assert "CompressedSamples^CT1" in dcmtk.dcmdump(kept)
        kept.unlink()
        assert scu.send(Path(source)).code == 0
        assert len(list((tmp_path / "archive").iterdir())) == 1
    ran = scu.echo()
    assert ran.code != 0
    assert "Connection refused" in ran.output


WORKLIST_ENTRY = """\
(0008,0005) CS [GB18030]
(0008,0050) SH [A1]
(0010,0010) PN [{name}]
(0010,0020) LO [7]
(0020,000d) UI [1.2.826.0.1.3680043.8.498.1]
(0032,1060) LO [CT]
(0040,0100) SQ
(fffe,e000) na
(0008,0060) CS [CT]
(0040,0001) AE [CT1]
(0040,0002) DA [20260101]
(0040,0003) TM [080000]
(0040,0007) LO [CT]
(0040,0009) SH [S1]
(fffe,e00d) na
(fffe,e0dd) na
(0040,1001) SH [R1]
"""


def test_findscu_asks_a_worklist_in_chinese_bytes(tmp_path: Path) -> None:
    entries = tmp_path / "worklists" / "COUNTY"
    entries.mkdir(parents=True)
    (entries / "lockfile").touch()
    for number, name in enumerate(["王^小明", "李^小红"]):
        dcmtk.dump2dcm(WORKLIST_ENTRY.format(name=name), entries / f"{number}.wl", encoding="gb18030")
    port = free_port()
    server = installed("wlmscpfs", dcmtk.PACKAGE)
    with Process([server, "-s", "-csk", "-dfp", entries.parent, str(port)], log=tmp_path / "log") as process:
        process.wait_until(lambda: answers(port))
        scu = dcmtk.Scu(port=port, calling="CT1", called="COUNTY")
        key = "PatientName=王*".encode("gb18030")
        (found,) = scu.find_worklist(key, "SpecificCharacterSet=GB18030", folder=tmp_path / "found")
        assert str(found.PatientName) == "王^小明"
        assert scu.find_worklist("PatientID=8", folder=tmp_path / "none") == []
        with pytest.raises(AssertionError):
            dcmtk.Scu(port=port, calling="CT1", called="ELSEWHERE").find_worklist(
                "PatientID=7", folder=tmp_path / "refused"
            )


def test_dump2dcm_keeps_the_bytes_it_is_given(tmp_path: Path) -> None:
    dump = "(0008,0005) CS [GB18030]\n(0010,0010) PN [Wang^XiaoMing=王^小明]\n"
    made = dcmtk.dump2dcm(dump, tmp_path / "x.dcm", encoding="gb18030")
    assert "王^小明".encode("gb18030") in made.read_bytes()


def test_each_test_has_an_empty_durable_postgresql_of_its_own(
    postgres_server: postgres.Postgres, postgres_url: str
) -> None:
    engine = sqlalchemy.create_engine(postgres_url)
    with engine.begin() as connection:
        assert connection.scalar(sqlalchemy.text("SHOW fsync")) == "on"
        connection.execute(sqlalchemy.text("CREATE TABLE marks (mark text)"))
    with postgres_server.database() as other:
        assert other != postgres_url
        engine_there = sqlalchemy.create_engine(other)
        assert sqlalchemy.inspect(engine_there).get_table_names() == []
        engine_there.dispose()
    engine.dispose()


def test_postgresql_comes_back_after_a_power_cut() -> None:
    with postgres.running() as server, server.database() as url:
        address = url.replace("+psycopg", "")
        with psycopg.connect(address) as connection:
            connection.execute("CREATE TABLE marks (mark text)")
        server.kill()
        assert not answers(server.port)
        server.start()
        with psycopg.connect(address) as connection:
            row = connection.execute("SELECT count(*) FROM marks").fetchone()
            assert row == (0,)


def test_chromium_shows_a_page(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><meta charset=utf-8><h1>互认</h1>", encoding="utf-8")
    port = free_port()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *words: object) -> None:
            super().__init__(*words, directory=tmp_path)  # type: ignore[arg-type]

        def log_message(self, *words: object) -> None:
            """Stay quiet."""

    with http.server.ThreadingHTTPServer((LOOPBACK, port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        context = browser.new_context(locale="zh-CN")
        page = context.new_page()
        page.goto(f"http://{LOOPBACK}:{port}/")
        assert page.inner_text("h1") == "互认"
        context.close()
        server.shutdown()
        thread.join()


def test_the_his_answers_as_its_script_says(his: His) -> None:
    with MllpClient(his.port, seconds=0.5) as client:
        assert_answer(client, "1", "AA", "1")
        his.will(ERROR, REJECT, late(0.1), Answer(control_id="x"))
        assert_answer(client, "2", "AE", "2")
        assert_answer(client, "3", "AR", "3")
        assert_answer(client, "4", "AA", "4")
        assert_answer(client, "5", "AA", "x")
        his.will(SILENCE, Answer(hang_up=True))
        with pytest.raises(NoAnswer, match="in time"):
            client.ask(ORDER.format("6"))
        assert_answer(client, "7", "AA", "7")
        with pytest.raises(NoAnswer, match=r"closed|broken"):
            client.ask(ORDER.format("8"))
    messages = his.wait_for(7)
    assert [str(message.segment("MSH")[10]) for message in messages] == list("1234567")
    assert str(messages[0].segment("PID")[5]) == "王^小明"


def test_the_his_goes_away_and_comes_back(his: His) -> None:
    client = MllpClient(his.port)
    his.go_away()
    with pytest.raises(NoAnswer):
        client.ask(ORDER.format("1"))
    client.close()
    assert not answers(his.port)
    his.come_back()
    with MllpClient(his.port) as again:
        assert_answer(again, "2", "AA", "2")
    with pytest.raises(AssertionError, match="1 messages"):
        his.wait_for(2, seconds=0.1)


def test_the_client_puts_an_answer_together_from_pieces() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        client = MllpClient(port)
        peer, _ = server.accept()
        with peer, client:
            peer.sendall(SB + b"MSH|^~\\&|A\r" + EB)
            peer.sendall(CR + SB + b"MSH|^~\\&|B\r" + EB + CR)
            assert client.receive() == b"MSH|^~\\&|A\r"
            assert client.receive() == b"MSH|^~\\&|B\r"


def assert_answer(client: MllpClient, control_id: str, code: str, names: str) -> None:
    """Send one order and compare MSA-1 and MSA-2 of the answer."""
    answer: hl7.Message = client.ask(ORDER.format(control_id))
    msa = answer.segment("MSA")
    assert (str(msa[1]), str(msa[2])) == (code, names)


def runs(pid: int) -> bool:
    """Tell whether a process still runs; one that ended and that nobody has asked after does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
