"""A Hugging Face Hub on loopback, as far as huggingface_hub asks one for models: what a repository
holds, its tree, and its files, with ranges, redirects, refusals and a connection that is cut."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def commit(key: str) -> str:
    """That of owner/name or owner/name@revision."""
    return hashlib.sha1(key.encode()).hexdigest()


@dataclass
class StandIn:
    """`repos` by owner/name or owner/name@revision: a folder, an answer such as (404,
    "RepoNotFound"), or the name that a repository has now. `cut` names files whose next answer ends
    in the middle, and what is answered from then on, if another; `asked` is
    what was asked for, `sent` the bytes sent of each file."""

    repos: dict[str, Path | tuple[int, str] | str] = field(default_factory=dict)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)  # files, by their ends
    cut: dict[str, tuple[int, str] | None] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)

    def fetched(self) -> set[str]:
        """The names of the files that were sent."""
        return set(self.sent)

    def __enter__(self) -> "StandIn":
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        parts = self.path.partition("?")[0].strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        owner, name, kind, revision, *rest = [*parts[2 if api else 0 :], "", ""]
        path = "/".join(rest).strip("/")
        repo = f"{owner}/{name}"
        key = repo if revision in ("", "main", commit(repo)) else f"{repo}@{revision}"
        key = next((known for known in self.hub.repos if commit(known) == revision), key)
        found = self.hub.repos.get(key)
        if found is None:
            known = any(key.partition("@")[0] == repo for key in self.hub.repos)
            return self.refuse(404, "RevisionNotFound" if known else "RepoNotFound")
        if isinstance(found, str):
            return self.answer(307, {"Location": self.path.replace(repo, found, 1)})
        if isinstance(found, tuple):
            return self.refuse(*found)
        if api:
            return self.send_json(self.listing(found, kind == "tree", key))
        return self.send_file(found / path, path, commit(key))

    def listing(self, folder: Path, tree: bool, key: str):
        files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
        sizes = {name: path.stat().st_size for name, path in sorted(files.items())}
        if tree:
            return [{"type": "file", "path": n, "size": s, "oid": n} for n, s in sizes.items()]
        siblings = [{"rfilename": name} for name in sizes]
        if "blobs=" in self.path.lower():
            for one, (name, size) in zip(siblings, sizes.items(), strict=True):
                digest = hashlib.sha256(files[name].read_bytes()).hexdigest()
                lfs = {"sha256": digest, "size": size, "pointerSize": 134}
                one |= {"size": size, "blobId": digest[:40], "lfs": lfs}
        return {"id": key.partition("@")[0], "sha": commit(key), "siblings": siblings}

    def send_file(self, path: Path, name: str, revision: str) -> None:
        if refusal := next((r for end, r in self.hub.refused.items() if name.endswith(end)), None):
            return self.refuse(*refusal)
        if not path.is_file():
            return self.refuse(404, "EntryNotFound")
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": revision, "Accept-Ranges": "bytes"}
        status, start = 200, 0
        if asked := self.headers.get("Range"):
            status, start = 206, int(asked.removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.answer(status, headers, content[start:], name)

    def send_json(self, value) -> None:
        self.answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def refuse(self, status: int, code: str) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": "no"} if code else {}
        self.answer(status, headers)

    def answer(self, status: int, headers: dict, content: bytes = b"", name: str = "") -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if name in self.hub.cut:
            if then := self.hub.cut.pop(name):
                self.hub.refused[name] = then
            content = content[: len(content) // 2]
            self.close_connection = True
        if name:
            self.hub.sent[name] = self.hub.sent.get(name, 0) + len(content)
        self.wfile.write(content)
