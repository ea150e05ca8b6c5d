"""Nothing is sent without a yes, and then what was listed and nothing else."""

import importlib
import traceback
from inspect import signature
from types import SimpleNamespace

import huggingface_hub.constants
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from sdnb.export.card import CardFacts, write_card
from sdnb.export.hub import upload
from sdnb.problems import Problem

http = importlib.import_module(HTTPError.__module__.partition(".")[0])  # httpx or httpx2
SECRET = "hf_" + "secret"
SENT = """
README.md model_index.json my_picture.png ravo.json ravo.safetensors
text_encoder/config.json text_encoder/model.safetensors tokenizer/merges.txt
tokenizer/tokenizer.json unet/config.json unet/diffusion_pytorch_model.safetensors
vae/config.json""".split()
KEPT = """
.env .git/config .hidden.safetensors checkpoints/step_000100.safetensors history.csv machine.json
manifest.json notes.txt optimizer.pt photos/a.json photos/a.safetensors photos/a.txt photos/b.jpg
previews/0001.png ravo.txt selfie.jpg settings.toml step_000200.safetensors unet/.cache.json
unet/photo.png unet/notes.txt unet/deep/config.json""".split()


class FakeApi:
    """What the Hub would do, written down. `error` is raised by the call of that name."""

    def __init__(self, public=False, error=None, at="create_commit"):
        self.calls, self.public, self.error, self.at = [], public, error, at

    def _called(self, name, **arguments):
        known = set(signature(getattr(HfApi, name)).parameters) | {"files"}
        assert set(arguments) <= known, "the real one would not take them"
        self.calls.append((name, arguments))
        if self.error and name == self.at:
            raise self.error

    def create_repo(self, repo_id, **arguments):
        self._called("create_repo", repo_id=repo_id, **arguments)
        return f"https://huggingface.co/{repo_id}"

    def model_info(self, repo_id, **arguments):
        self._called("model_info", repo_id=repo_id, **arguments)
        return SimpleNamespace(private=not self.public)

    def create_commit(self, repo_id, operations, **arguments):
        files = {one.path_in_repo: one.path_or_fileobj for one in operations}
        self._called("create_commit", repo_id=repo_id, files=files, **arguments)


@pytest.fixture
def folder(tmp_path):
    """A model among all that may lie about in a run's folder."""
    root = tmp_path / "model"
    for name in SENT + KEPT:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345" * 1000)
    (root / "README.md").unlink()
    facts = ("ravo", "lora", "sd15", "", "CreativeML OpenRAIL-M", "ravo", "man")
    write_card(root, CardFacts(*facts, pictures=[("my_picture.png", "photo of ravo man")]))
    (tmp_path / "diary.json").write_text("dear diary")
    (root / "unet" / "link.json").symlink_to(tmp_path / "diary.json")
    (root / "linked.safetensors").symlink_to(tmp_path / "diary.json")
    return root


def yes(prompt):
    return "yes"


def answer(status, kind=HfHubHTTPError):
    response = http.Response(status, request=http.Request("POST", "https://huggingface.co"))
    return kind("refused", response=response)


def lines(printed):
    return [line.split()[-1] for line in printed.splitlines() if line.startswith(" ")]


@pytest.mark.parametrize("private", [True, False])
def test_the_files_sent_are_those_listed(folder, capsys, private):
    api = FakeApi()
    url = upload(folder, "anna/ravo", private, ask=yes, token=SECRET, api=api)
    assert url == "https://huggingface.co/anna/ravo"
    names = [name for name, _ in api.calls]
    assert names == ["create_repo", *(["model_info"] if private else []), "create_commit"]
    assert api.calls[0][1] == {
        "repo_id": "anna/ravo",
        "private": private,
        "exist_ok": True,
        "token": SECRET,
    }
    assert api.calls[-1][1]["files"] == {name: str(folder / name) for name in SENT}
    printed = capsys.readouterr().out
    assert lines(printed)[: len(SENT)] == SENT
    assert "0.005 MB  ravo.safetensors" in printed  # 5,000 bytes
    assert f"sent ({len(SENT)})" in printed and f"stay here ({len(KEPT) + 2})" in printed
    assert "creativeml-openrail-m" in printed
    assert ("private: only you" in printed) == private == ("PUBLIC" not in printed)
    assert SECRET not in printed


def test_what_stays_is_listed_too(folder, capsys):
    for name in KEPT[:8]:
        (folder / name).unlink()
    upload(folder, "anna/ravo", ask=yes, api=FakeApi())
    listed = lines(capsys.readouterr().out)
    assert listed[len(SENT) :] == sorted([*KEPT[8:], "linked.safetensors", "unet/link.json"])


@pytest.mark.parametrize("said", ["", "no", "y", "ja", "yes please", "n yes", None])
def test_anything_but_yes_sends_nothing(folder, capsys, said):
    def ask(prompt):
        assert "yes" in prompt
        if said is None:
            raise EOFError
        return said

    api = FakeApi()
    assert upload(folder, "anna/ravo", ask=ask, api=api) == "" and api.calls == []
    assert "Nothing was sent" in capsys.readouterr().out


def test_the_list_comes_before_the_question(folder, capsys):
    def ask(prompt):
        printed = capsys.readouterr().out
        assert "ravo.safetensors" in printed and "selfie.jpg" in printed
        return " YES "

    assert upload(folder, "anna/ravo", ask=ask, api=FakeApi())


def test_a_public_model_of_the_same_name_gets_nothing(folder):
    """`create_repo(private=True, exist_ok=True)` leaves a public one public."""
    api = FakeApi(public=True)
    with pytest.raises(Problem, match="public model has this name"):
        upload(folder, "anna/ravo", ask=yes, api=api)
    assert "create_commit" not in [name for name, _ in api.calls]


@pytest.mark.parametrize("at", ["create_repo", "model_info", "create_commit"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (answer(401), "does not know you"),
        (answer(401, RepositoryNotFoundError), "does not know you"),
        (answer(403), "may not write"),
        (answer(404, RepositoryNotFoundError), "no such owner"),
        (answer(429), "too many requests"),
        (answer(503), "error 503"),
        (LocalTokenNotFoundError("no token"), "Log in"),
        (OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE"),
        (http.ConnectError("no route"), "cannot be reached"),
        (http.ReadTimeout("slow"), "cannot be reached"),
        (ConnectionError("cut"), "cannot be reached"),
        (RuntimeError("Error while uploading"), "cannot be reached"),
        (ValueError(f"Illegal header value: Bearer {SECRET}"), "refuses the card"),
    ],
    ids=lambda value: f"{value}"[:20],
)
def test_what_the_hub_answers_is_said_in_words(folder, capsys, at, error, said):
    with pytest.raises(Problem, match=said) as found:
        upload(folder, "anna/ravo", ask=yes, token=SECRET, api=FakeApi(error=error, at=at))
    shown = "".join(traceback.format_exception(found.value)) + capsys.readouterr().out
    assert SECRET not in shown and "Nothing was published" in shown


def test_an_upload_that_breaks_off_tells_the_cause(folder):
    """huggingface_hub wraps what a large file's upload was answered with."""
    error = RuntimeError("Error while uploading")
    error.__cause__ = answer(429)
    with pytest.raises(Problem, match="too many requests"):
        upload(folder, "anna/ravo", ask=yes, api=FakeApi(error=error))


def test_huggingface_hub_itself_is_asked_for_a_login_and_stays_offline(
    folder, tmp_path, monkeypatch
):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    with pytest.raises(Problem, match="Log in"):
        upload(folder, "anna/ravo", ask=yes, api=HfApi())
    (tmp_path / "token").write_text(SECRET)
    with pytest.raises(Problem, match="HF_HUB_OFFLINE"):
        upload(folder, "anna/ravo", ask=yes)


@pytest.mark.parametrize("name", ["ravo", "a/b/c", "anna/ravo lora", "", "anna/ra--vo", "/ravo"])
def test_a_name_that_is_none_is_a_problem(folder, name):
    with pytest.raises(Problem, match="is no name for a model"):
        upload(folder, name, ask=yes, api=FakeApi())


def test_without_a_model_or_a_card_nothing_is_asked(folder):
    def ask(prompt):
        raise AssertionError("asked")

    for path in folder.rglob("*.safetensors"):
        path.unlink()
    with pytest.raises(Problem, match="no model in this folder"):
        upload(folder, "anna/ravo", ask=ask, api=FakeApi())
    (folder / "README.md").unlink()
    with pytest.raises(Problem, match="has no card"):
        upload(folder, "anna/ravo", ask=ask, api=FakeApi())
    with pytest.raises(Problem, match="has no card"):
        upload(folder / "nothing", "anna/ravo", ask=ask, api=FakeApi())


@pytest.mark.parametrize(
    "head", ["a: [", "just words", "widget: 3", "widget: [3]", "widget: [{output: {}}]", "\xff"]
)
def test_a_card_that_cannot_be_read(folder, head):
    (folder / "README.md").write_bytes(f"---\n{head}\n---\n".encode("latin-1"))
    with pytest.raises(Problem, match="head of the card"):
        upload(folder, "anna/ravo", ask=yes, api=FakeApi())
