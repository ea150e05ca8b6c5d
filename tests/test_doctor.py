"""`sdnb doctor`: what is well, what is missing, and the command that mends it."""

import importlib.metadata
import json
import platform
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from sdnb import cli, doctor
from sdnb.machine import Machine
from sdnb.models.families import SD1, SD2, SDXL


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "project"))
    monkeypatch.setenv("SDNB_PROFILE", "mini")


def line(findings, name):
    return next(finding for finding in findings if finding.name == name)


def pretend(monkeypatch, device, memory):
    machine = Machine(device, "fp32", "for tests", 2, memory, "pretended", False)
    monkeypatch.setattr(doctor, "find_machine", lambda: machine)


def test_a_machine_that_runs_the_tests_runs_the_lessons(capsys):
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert said.endswith("The lessons run on this machine.\n")
    assert len(said.splitlines()) < 24  # one screen
    assert "MISSING" not in said and "torch" in said


def test_a_package_that_is_too_old_is_named_with_its_command(monkeypatch, capsys):
    version = importlib.metadata.version
    monkeypatch.setattr(doctor, "version", lambda n: "0.30.0" if n == "diffusers" else version(n))
    assert cli.main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "MISSING  diffusers    0.30.0; needed: diffusers>=0.39" in said
    assert '-m pip install "diffusers>=0.39"' in said
    assert said.endswith("The lessons cannot run yet; see diffusers above.\n")


def test_on_colab_nothing_is_pulled_along(monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda name: "0.0.1")
    monkeypatch.setattr(doctor, "on_colab", lambda: True)
    assert all("install --no-deps" in finding.do for finding in doctor._packages())


def test_a_full_disk_and_a_small_memory_are_told(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**28))
    pretend(monkeypatch, "cpu", 2.0)
    findings = doctor.check_machine()
    assert any(found.missing for found in findings)
    assert "take 1 GiB" in line(findings, "disk").do
    assert "take 3 GiB" in line(findings, "memory").do


def test_a_folder_of_somebody_else_is_told(monkeypatch, locked_folder, ordinary_user):
    monkeypatch.setenv("SDNB_PROJECT", str(locked_folder / "project"))

    def refuse():
        finding = line(doctor._project(), "project")
        raise doctor.Problem(finding.do)

    assert "SDNB_PROJECT" in ordinary_user(refuse)


@pytest.mark.parametrize(
    ("base", "device", "memory", "advice"),
    [
        ("mini", "cpu", 16.0, "Colab"),
        ("mini", "cuda", 15.0, ""),
        ("sd15", "cpu", 16.0, "SDNB_PROFILE=mini"),
        ("sd15", "cuda", 4.0, "SDNB_PROFILE=mini"),
        ("sd15", "cuda", 14.6, ""),
    ],
)
def test_the_profile_says_what_it_asks_for(monkeypatch, base, device, memory, advice):
    pretend(monkeypatch, device, memory)
    findings = doctor.check_machine(base)
    own = line(findings, "own photos")
    assert base in own.fact and (advice in own.do if advice else own.do == "")
    assert not any(found.missing for found in findings)  # the lessons run all the same


def test_a_download_to_come_is_told(monkeypatch, tmp_path):
    pretend(monkeypatch, "cuda", 14.6)
    monkeypatch.setattr(doctor, "_downloaded", lambda sources: False)
    assert "fetched when first used" in line(doctor.check_machine("sd15"), "download").fact
    monkeypatch.setattr(doctor, "_downloaded", lambda sources: True)
    assert "download" not in {finding.name for finding in doctor.check_machine("sd15")}


def test_a_download_is_looked_for_in_the_hubs_cache_and_needs_room_on_its_disk(
    monkeypatch, tmp_path
):
    pretend(monkeypatch, "cuda", 14.6)
    monkeypatch.setattr(doctor.constants, "HF_HUB_CACHE", str(tmp_path / "not" / "yet"))

    def disk_usage(folder):
        return SimpleNamespace(free=2**30 if folder == tmp_path else 2**40)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    assert line(doctor.check_machine("sd15"), "download").do == "Free some space: 6 GiB"
    repository = tmp_path / "not" / "yet" / "models--CompVis--stable-diffusion-v1-4"
    (repository / "snapshots" / "1a").mkdir(parents=True)
    (repository / "snapshots" / "1a" / "model_index.json").touch()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("1a")
    assert "download" not in {finding.name for finding in doctor.check_machine("sd15")}


def test_the_findings_as_json_hold_no_path(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(platform, "node", lambda: "pc-07")
    assert cli.main(["doctor", "--json", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith(f"{tmp_path / 'pc-07.json'}\n")
    text = (tmp_path / "pc-07.json").read_text()
    data = json.loads(text)
    assert (data["sdnb_doctor"], data["name"]) == (1, "pc-07")
    assert [f["name"] for f in data["findings"]][:2] == ["Python", "packages"]
    assert str(tmp_path) not in text and "/project" not in text
    assert cli.main(["doctor", "--json", str(tmp_path / "new" / "a.json")]) == 0
    assert json.loads((tmp_path / "new" / "a.json").read_text()) == data
    assert cli.main(["doctor", "--json", str(tmp_path / "room")]) == 0  # a folder, made for it
    assert json.loads((tmp_path / "room" / "pc-07.json").read_text()) == data


def test_runs_made_ready_are_counted(monkeypatch, tmp_path, configs):
    assert "ready runs" not in {finding.name for finding in doctor.check_machine()}
    run = tmp_path / "ready" / "some-lora-1"
    configs["lora"].save(run / "settings.toml")
    (run / "lora.safetensors").touch()
    monkeypatch.setenv("SDNB_RUNS", str(tmp_path / "ready"))
    assert line(doctor.check_machine(), "ready runs").fact == "1 finished"
    monkeypatch.setenv("SDNB_RUNS", str(tmp_path / "absent"))
    finding = line(findings := doctor.check_machine(), "ready runs")
    assert "SDNB_RUNS" in finding.do and not any(found.missing for found in findings)


def test_the_teachers_page_tells_the_doctors_numbers():
    page = Path(__file__).parents[1] / "notebooks" / "for_teachers.md"
    one, two, xl = ((f"{f.memory_gib:g}", f"{f.disk_gib:g}") for f in (SD1, SD2, SDXL))
    said = (
        f"{one[0]} GiB of its memory and {one[1]} GiB of disk for Stable Diffusion 1.5, "
        f"{two[0]} and {two[1]} for 2.1, {xl[0]} and {xl[1]} for SDXL"
    )
    assert said in " ".join(page.read_text(encoding="utf-8").split())
