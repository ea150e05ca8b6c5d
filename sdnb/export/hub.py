"""Send a finished model to the Hugging Face Hub: first what would be sent, then a question."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import yaml
from huggingface_hub import CommitOperationAdd, HfApi, ModelCard

# HTTPError is httpx's and, from huggingface_hub 2 on, httpx2's
from huggingface_hub.errors import HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id

from sdnb.problems import Problem
from sdnb.training.checkpoints import checkpoints_in

CARD = "README.md"
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
PARTS = "unet vae text_encoder text_encoder_2 tokenizer tokenizer_2 scheduler".split()  # folders
LISTED = 20  # of the files that stay; there may be thousands of photos
ANSWERS = {
    401: ("the Hub does not know you", "Log in (huggingface_hub.login), or renew the token"),
    403: ("you may not write there", "Use your own name as the owner and a token that may write"),
    404: ("the Hub knows no such owner", "Check the name: the owner is your own on the Hub"),
    429: ("the Hub has had too many requests from you", "Wait some minutes and run again"),
}


def upload(
    folder: Path | str,
    repo_id: str,
    private: bool = True,
    ask: Callable[[str], str] = input,
    token: str | None = None,
    api: HfApi | None = None,
) -> str:
    """Show which files in `folder` would be sent to `repo_id` ("owner/name") and who could see
    them; send them if `ask` is answered with yes. Returns the page's address, or "" for nothing.

    Sent are only the model's own files: README.md, *.safetensors and the .json beside them, a
    diffusers model's parts, and the pictures that the card shows. Never photos, captions,
    checkpoints, hidden files, or what a link leads to. Without `token` it is that of
    huggingface_hub's own login; it is neither shown nor written anywhere.

    Raises Problem where there is no model or card, for a name that is none, where a model that
    should be private is public there, and for all that the Hub and the network can answer.
    """
    folder = Path(folder)
    pictures, licence = _read_card(folder / CARD)
    _check_name(repo_id)
    sent, kept = sort_out(folder, pictures)
    if not any(name.endswith(".safetensors") for name in sent):
        raise Problem("There is no model in this folder", folder, "Export one into it first")
    seen = "private: only you can see it" if private else "PUBLIC: anybody can see and copy it"
    print(f"To {repo_id} on the Hugging Face Hub, {seen}. Licence: {licence}.")
    print(_listed(folder, sent, kept))
    try:
        answer = ask("Type yes to send: ")
    except EOFError:  # nobody is there to answer
        answer = ""
    if answer.strip().lower() != "yes":
        print("Nothing was sent.")
        return ""
    try:
        files = [CommitOperationAdd(name, str(folder / name)) for name in sent]
        # True: the login's token, or an error without one
        return _send(api or HfApi(), repo_id, private, token or True, files)
    except (OSError, HTTPError, ValueError, RuntimeError) as error:
        # not `from error`: what a network library says can hold the token
        raise _problem(error, repo_id) from None


def sort_out(folder: Path, pictures: set[str]) -> tuple[list[str], list[str]]:
    """The files in `folder` by their paths in it: those to send, and those that stay.
    `pictures` are the paths of those that the card shows."""
    real, checkpoints = folder.resolve(), checkpoints_in(folder)
    models = {path.stem for path in folder.glob("*.safetensors")}
    sent, kept = [], []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = PurePosixPath(path.relative_to(folder).as_posix())
        own = path.resolve() == real / name and path not in checkpoints  # and no link
        (sent if own and _belongs(name, pictures, models) else kept).append(str(name))
    return sent, kept


def _belongs(name: PurePosixPath, pictures: set[str], models: set[str]) -> bool:
    """The list of what may be sent; all else stays."""
    *above, _ = name.parts
    if any(part.startswith(".") for part in name.parts):
        return False
    if name.suffix.lower() in PICTURES:
        return str(name) in pictures
    if not above:
        beside = name.suffix == ".json" and name.stem in models
        return name.suffix == ".safetensors" or name.name in (CARD, "model_index.json") or beside
    inside = name.suffix in (".safetensors", ".json") or name.name == "merges.txt"
    return len(above) == 1 and above[0] in PARTS and inside


def _send(api: HfApi, repo_id: str, private: bool, token: str | bool, files: list) -> str:
    url = str(api.create_repo(repo_id, private=private, exist_ok=True, token=token))
    # one that exists keeps its visibility, whatever was asked for
    if private and not api.model_info(repo_id, token=token).private:
        raise Problem("Nothing was sent: a public model has this name", url, "Choose another")
    api.create_commit(repo_id, files, commit_message="Upload the model", token=token)
    print(f"Sent: {url}")
    return url


def _read_card(path: Path) -> tuple[set[str], str]:
    """The pictures that the card shows, and the licence it names."""
    if not path.is_file():
        raise Problem("The model has no card", path, "Write one first: write_card")
    try:
        data = ModelCard.load(path).data
        pictures = {item["output"]["url"] for item in data.get("widget", [])}
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
        raise Problem("The head of the card cannot be read", path, "Write it again") from error
    return pictures, str(data.get("license", "none named"))


def _check_name(repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
        named = "/" in repo_id
    except ValueError:
        named = False
    if not named:
        do = "Write your own name there and the model's, such as anna/ravo-lora"
        raise Problem(f'"{repo_id}" is no name for a model on the Hub', do=do)


def _listed(folder: Path, sent: list[str], kept: list[str]) -> str:
    sizes = [f"{(folder / name).stat().st_size / 1e6:9.3f} MB  {name}" for name in sent]
    lines = [f"These files are sent ({len(sent)}):", *sizes]
    lines += [f"These stay here ({len(kept)}):", *(f"    {name}" for name in kept[:LISTED])]
    return "\n".join(lines + ["    ..."] * (len(kept) > LISTED))


def _problem(error: Exception, repo_id: str) -> Problem:
    """What the Hub or the network said, in words."""
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    login = isinstance(error, LocalTokenNotFoundError)
    status = 401 if login else getattr(response, "status_code", None)
    if isinstance(error, OfflineModeIsEnabled):
        what, do = "huggingface_hub is set to stay offline", "Unset HF_HUB_OFFLINE, start again"
    elif status:
        what, do = ANSWERS.get(status, (f"the Hub answered with error {status}", "Try again later"))
    elif isinstance(error, ValueError):
        what, do = "huggingface_hub refuses the card, a file or the token", "Check all three"
    else:
        what, do = "the Hub cannot be reached, or a file not read", "Check both and run again"
    return Problem(f"Nothing was published: {what}", repo_id, do)
