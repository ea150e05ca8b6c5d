"""Exceptions that are known, as the libraries raise them, and where their sentences are shown."""

import errno
import importlib
import os
import re
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import nbclient
import nbformat
import pytest
import torch
from huggingface_hub import errors, hf_hub_download
from huggingface_hub.utils import hf_raise_for_status
from IPython.core.interactiveshell import InteractiveShell
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn
from traitlets.config import Config

import sdnb
from sdnb.cli import main
from sdnb.errors import Problem
from sdnb.known_errors import recognised, speak_in
from sdnb.models.loading import load_model
from sdnb.notebook.colab import use_drive
from sdnb.training.config import LoraConfig

web = importlib.import_module(errors.Response.__module__.partition(".")[0])  # httpx, or its fork
MODEL = "https://huggingface.co/api/models/anna/gone"


def unscale_halves():
    weight = nn.Parameter(torch.ones(1, dtype=torch.float16))
    weight.grad = torch.ones_like(weight)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(torch.ones(1))
    scaler.unscale_(torch.optim.SGD([weight]))


def load_another_family():
    nn.Linear(2, 2).load_state_dict(nn.Linear(3, 2).state_dict())


def open_a_pickle(tmp_path):
    torch.save(nn.Linear(1, 1), tmp_path / "model.ckpt")
    torch.load(tmp_path / "model.ckpt", weights_only=True)


def stay_offline(tmp_path):
    hf_hub_download("anna/model", "config.json", cache_dir=tmp_path)  # HF_HUB_OFFLINE is set


def answer(status, code=None):
    """What huggingface_hub makes of an answer of its server."""
    headers = {"X-Error-Code": code} if code else {}
    request = web.Request("GET", MODEL)
    hf_raise_for_status(errors.Response(status, headers=headers, request=request))


def fail(error, cause=None):
    raise error from cause


def caught(function, *arguments) -> Exception:
    try:
        function(*arguments)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("function", "arguments", "sentence"),
    [
        (unscale_halves, (), r"in fp16, and training needs them in fp32.*training cell again"),
        (load_another_family, (), r"made for another base model.*Go back to the cell"),
        (torch.empty, (10**15,), r"memory of this machine is full.*set batch_size to 1"),
        (load, (b"not a safetensors file",), r"file is damaged"),
        (answer, (404, "RepoNotFound"), r"no such model.*settings form.*sd15"),
        (answer, (401,), r"no such model"),  # so the Hub answers strangers
        (answer, (403, "GatedRepo"), r"only to those it knows.*Accept the conditions"),
        (answer, (403,), r"only to those it knows"),
        (answer, (404, "RevisionNotFound"), r"not that revision.*behind the @"),
        (answer, (522,), r"does not work.*Wait some minutes"),
        (answer, (404, "EntryNotFound"), r"lacks the file"),
        (answer, (429,), r"too many requests.*Wait some minutes"),
        (answer, (503,), r"does not work.*Wait some minutes"),
        (hf_hub_download, ("a/b/c", "config.json"), r"no such model.*Check the path"),
    ],
)
def test_what_libraries_raise(function, arguments, sentence):
    with pytest.raises(Problem, match=sentence):
        raise recognised(caught(function, *arguments))


@pytest.mark.parametrize(
    ("function", "sentence"),
    [(open_a_pickle, "a pickle"), (stay_offline, "set to stay offline.*HF_HUB_OFFLINE")],
)
def test_what_they_raise_of_files(function, sentence, tmp_path):
    with pytest.raises(Problem, match=sentence):
        raise recognised(caught(function, tmp_path))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            "of the GPU is full",
        ),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), "of the GPU is full"),
        (MemoryError(), "memory of this machine"),
        (BrokenProcessPool("A process was terminated abruptly"), "memory of this machine"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "this machine"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (SafetensorError("Error while serializing: I/O error (os error 28)"), "disk is full"),
        (OSError(errno.ENOTCONN, "Transport endpoint is not connected"), "Drive is no longer"),
        (FileNotFoundError(errno.ENOENT, "No such", "/content/drive/MyDrive/a"), "file on Google"),
        (PermissionError(errno.EACCES, "denied", "a.png"), r"permission denied \(a.png\)"),
        (
            ImportError("Found an incompatible version of torchao. Found 0.10.0"),
            "uninstall -y torc",
        ),
        (
            ValueError("The version of PEFT you are using is not compatible, please use 0.22.0"),
            "do not suit each other.*--upgrade peft",
        ),
        (ImportError("tokenizers>=0.23,<=0.24 is required, found 0.22"), "suit each other"),
        (ModuleNotFoundError("No module named 'ipywidgets'"), "not installed.*sdnb doctor"),
        (NameError("name 'my_run' is not defined", name="my_run"), r"\(my_run\).*from the top"),
        (RuntimeError("Found no NVIDIA driver on your system."), "T4 GPU"),
        (AssertionError("Torch not compiled with CUDA enabled"), "knows no GPU"),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), "can do nothing more"),
        (RuntimeError("CUDA error: out of memory"), "of the GPU is full"),
        (NotImplementedError("'aten::x' is not currently implemented for the MPS device"), "Mac"),
        (ValueError("bf16 mixed precision requires PyTorch >= 1.10"), 'precision to "auto"'),
        (web.ConnectError("[Errno -2] Name or service not known"), "cannot be reached"),
    ],
)
def test_what_needs_another_machine(error, sentence):
    with pytest.raises(Problem, match=sentence):
        raise recognised(error)


def test_what_led_to_it_is_looked_at_too():
    full = torch.OutOfMemoryError("CUDA out of memory")
    assert "GPU is full" in str(recognised(caught(fail, OSError("no"), full)))
    try:
        try:
            raise full
        except RuntimeError:
            raise KeyError("cleaning up") from None
    except KeyError as error:
        assert recognised(error) is None
        error.__suppress_context__ = False
        assert "GPU is full" in str(recognised(error))
    ring = OSError("one")
    ring.__context__ = caught(fail, OSError("two"), ring)
    assert recognised(ring) is None


def test_what_says_more_comes_first():
    """huggingface_hub says "cannot be found" of a Hub that asks it to wait."""
    asked = caught(answer, 429)
    error = caught(fail, errors.LocalEntryNotFoundError("check your connection"), asked)
    assert "too many requests" in str(recognised(error))


@pytest.mark.parametrize(
    "error",
    [
        None,
        ZeroDivisionError("division by zero"),
        KeyboardInterrupt(),
        RuntimeError("shapes cannot be multiplied"),
        ValueError("invalid literal for int()"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "photos"),
        ModuleNotFoundError("No module named 'torchvison'"),
        SafetensorError("Error while serializing: I/O error (os error 5)"),
    ],
)
def test_what_is_not_known(error):
    assert recognised(error) is None


def test_the_advice_names_what_there_is():
    advice = (Path(sdnb.__file__).parent / "known_errors.toml").read_text()
    for setting in ("batch_size", "gradient_checkpointing", "precision"):
        assert setting in advice and setting in LoraConfig.model_fields
    assert all(callable(getattr(sdnb, name)) for name in re.findall(r"sdnb\.(\w+)", advice))
    assert "use_drive" in advice and callable(use_drive)


def test_a_problem_is_its_own_answer():
    problem = Problem("The file is empty", "a.jpg", "Delete it")
    assert recognised(problem) is problem
    assert problem.sentences == ["The file is empty (a.jpg).", "Delete it."]
    assert Problem("It is so").sentences == ["It is so."]


def test_loading_says_it_too():
    with pytest.raises(Problem, match=r"sd15 could not be loaded.*offline.*HF_HUB_OFFLINE"):
        load_model("sd15")


def test_the_command_prints_the_sentence(configs, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SDNB_PROJECT", str(tmp_path / "project"))
    configs["lora"].save(tmp_path / "settings.toml")
    full = torch.OutOfMemoryError("CUDA out of memory")
    monkeypatch.setattr("sdnb.training.run.train", lambda config: fail(full))
    assert main(["train", str(tmp_path / "settings.toml")]) == 1
    assert capsys.readouterr().err.startswith("The memory of the GPU is full. Restart")
    monkeypatch.setattr("sdnb.training.run.train", lambda config: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["train", str(tmp_path / "settings.toml")])


@pytest.fixture
def cell(tmp_path, monkeypatch, capsys):
    """Run a cell in a shell that speaks, or in a plain one: what it shows, and what it raised."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    silent = Config({"HistoryManager": {"enabled": False}})
    shells = {speaks: InteractiveShell(config=silent) for speaks in (True, False)}
    speak_in(shells[True])

    def run(source, speaks=True):
        result = shells[speaks].run_cell(source)
        return capsys.readouterr().out, result.error_in_exec or result.error_before_exec

    return run


def test_a_cell_shows_the_sentences_alone(cell):
    shown, error = cell("from sdnb.errors import Problem\nraise Problem('No face', 'a.jpg', 'Go')")
    assert isinstance(error, Problem)
    assert [line for line in shown.splitlines() if line] == [
        "\033[1;31mNo face (a.jpg).\033[0m",
        "Go.",
        "\033[2mMore: run %tb in a cell below.\033[0m",
    ]
    shown, error = cell("def save():\n    raise OSError(28, 'No space left')\nsave()")
    assert isinstance(error, OSError) and "The disk is full." in shown
    assert "Traceback" not in shown and max(map(len, shown.splitlines())) < 100
    shown, error = cell("%tb")
    assert error is None and "Traceback" in shown and "save" in shown and "[Errno 28]" in shown


@pytest.mark.filterwarnings("ignore:To exit")
@pytest.mark.parametrize("slip", ["1 / 0", "x = = 1", "  x\n y", "raise SystemExit", "%nothing"])
def test_any_other_slip_looks_as_ever(cell, slip):
    spoken, plain = cell(slip), cell(slip, speaks=False)
    assert spoken[0] == plain[0] and type(spoken[1]) is type(plain[1]) is not type(None)


def test_import_sdnb_lets_the_shell_speak(tmp_path):
    code = """
import sys
import sdnb
print("recognise in plain Python:", "sdnb.known_errors" in sys.modules)
del sys.modules["sdnb"]
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("import sdnb")
shell.run_cell("raise OSError(28, 'No space left')")
print("torch:", "torch" in sys.modules)
"""
    folder = {"IPYTHONDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | folder
    ).stdout
    assert "plain Python: False" in shown and "torch: False" in shown
    assert "The disk is full." in shown and "Traceback" not in shown


def test_a_run_notebook_still_fails(tmp_path, monkeypatch):
    """nbmake and nbconvert run cells as nbclient does."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    source = "import sdnb\nraise sdnb.Problem('No face', 'a.jpg', 'Take another')"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    with pytest.raises(nbclient.exceptions.CellExecutionError, match=r"Problem.*No face"):
        nbclient.NotebookClient(book, timeout=60, kernel_name="python3").execute()
    (output,) = book.cells[0].outputs
    assert output.output_type == "error" and output.ename == "Problem"
    assert "Take another." in output.traceback and len(output.traceback) < 6
