"""`python -m medrival fetch` against a server that plays the hub's file API: real requests, real files, no network."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from medrival import catalog
from medrival.models.files import TOWER
from medrival.tasks.places import revision
from medrival.weights import locate, resolved

COMMIT = "c" * 40
CLIP = Path(__file__).parents[2] / "models" / "pocket" / "clip"
FILES = {path.name: path.read_bytes() for path in CLIP.iterdir()}
LARGE = "model.safetensors"


@dataclass
class Hub:
    """The hub's file API for a few repositories.

    Attributes:
        lies: files whose stated hash is another's; `gated` names repositories that refuse their files; `cut` files of which the
            first answer ends in the middle, after calling what stands there.
        commits: of the repositories that have one of their own.
        asked: how often each file was asked for, and which parts of it.
    """

    repositories: dict[str, dict[str, bytes]]
    lies: set[str] = field(default_factory=set)
    gated: set[str] = field(default_factory=set)
    cut: dict[str, Callable[[], object]] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    ranges: list[str] = field(default_factory=list)
    url: str = ""

    def about(self, name: str, file: str) -> dict:
        content = self.repositories[name][file]
        stated = b"something else" if f"{name}/{file}" in self.lies else content
        blob = hashlib.sha1(b"blob %d\0" % len(stated) + stated, usedforsecurity=False).hexdigest()
        lfs = {"oid": hashlib.sha256(stated).hexdigest(), "size": len(content), "pointerSize": 130}
        return {"path": file, "size": len(content), "oid": blob} | ({"lfs": lfs} if file.endswith(".safetensors") else {})

    def info(self, name: str) -> dict:
        files = [self.about(name, file) for file in self.repositories[name]]
        siblings = [
            {"rfilename": one["path"], "size": one["size"], "blobId": one["oid"]}
            | ({"lfs": {"sha256": one["lfs"]["oid"], **one["lfs"]}} if "lfs" in one else {})
            for one in files
        ]
        return {
            "id": name,
            "modelId": name,
            "sha": self.commits.get(name, COMMIT),
            "private": False,
            "tags": [],
            "siblings": siblings,
        }


@pytest.fixture
def hub() -> Iterator[Hub]:
    served = Hub({"someone/clip": FILES, "someone/other": FILES})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(self.path.partition("?")[0])
            if found := re.fullmatch(r"/api/(?:models|datasets)/([^/]+/[^/]+)(/revision/[^/]+|/tree/[^/]+)?", path):
                name, what = found.groups()
                if name not in served.repositories:
                    return self.reply(404, b"", {"X-Error-Code": "RepoNotFound"})
                files = [{"type": "file", **served.about(name, file)} for file in served.repositories[name]]
                content = files if (what or "").startswith("/tree") else served.info(name)
                return self.reply(200, json.dumps(content).encode(), {"Content-Type": "application/json"})
            if found := re.fullmatch(r"/(?:datasets/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
                return self.file(*found.groups())
            return self.reply(404, b"", {})

        do_HEAD = do_GET

        def file(self, name: str, file: str) -> None:
            about, content = served.about(name, file), served.repositories[name][file]
            etag = about["lfs"]["oid"] if "lfs" in about else about["oid"]
            headers = {
                "X-Repo-Commit": served.commits.get(name, COMMIT),
                "ETag": f'"{etag}"',
                "X-Linked-Size": str(len(content)),
            }
            if name in served.gated:
                return self.reply(403, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "ask its owner"})
            if self.command == "HEAD":
                return self.reply(200, content, headers)
            served.asked[f"{name}/{file}"] += 1
            if wanted := self.headers.get("Range"):
                served.ranges.append(wanted)
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
                part = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
                return self.reply(206, content[start:], headers | part)
            if meanwhile := served.cut.pop(f"{name}/{file}", None):
                self.reply(200, content, headers, sent=len(content) // 2)
                self.wfile.flush()
                meanwhile()
                self.close_connection = True
                return None
            return self.reply(200, content, headers)

        def reply(self, status: int, content: bytes, headers: dict[str, str], sent: int | None = None) -> None:
            self.send_response(status)
            for header, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(header, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content[:sent])

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    yield served
    server.shutdown()
    server.server_close()


def row(name: str, weights: str, more: str = "", adapter: str = "dual_encoder:transformers") -> str:
    return (
        f'[models.{name}]\nkind = "medical"\ntype = "dual-encoder"\nfamily = "x"\nweights = "{weights}"\n'
        f'adapter = "medrival.models.{adapter}"\n{more}\n'
    )


@pytest.fixture
def start(hub, tmp_path) -> Callable[..., subprocess.Popen]:
    """Starts the command as a user does, with a hub of its own and an empty cache."""

    def run(rows: str, *arguments: str) -> subprocess.Popen:
        (tmp_path / "my.toml").write_text(rows)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_") and "proxy" not in name.lower()}
        environment = {**kept, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache")}
        names = ",".join(re.findall(r"\[models\.(.+)\]", rows))
        chosen = ["--models", names] if names else []
        command = [sys.executable, "-m", "medrival", "fetch", "--catalog", "my.toml", *chosen, "--assets", "DIR"]
        return subprocess.Popen(
            [*command, *arguments], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return run


@pytest.fixture
def fetch(start) -> Callable[..., tuple[int, str]]:
    def run(rows: str, *arguments: str) -> tuple[int, str]:
        process = start(rows, *arguments)
        said, _ = process.communicate()
        return process.returncode, said

    return run


def test_a_cut_connection_is_taken_up_where_it_broke(hub, fetch, tmp_path):
    """The client keeps what it has in pieces of 10 MiB."""
    large = np.random.default_rng(0).bytes(24 * 2**20)
    hub.repositories["someone/large"] = {"config.json": b"{}", LARGE: large}
    hub.cut[f"someone/large/{LARGE}"] = lambda: None
    status, said = fetch(row("mine", "someone/large"))
    assert status == 0, said
    assert hub.ranges == [f"bytes={10 * 2**20}-"]
    assert (tmp_path / "DIR" / "models" / "someone" / "large" / LARGE).read_bytes() == large


@pytest.mark.parametrize("weights", ["../../escape", "someone/..", "a/b/c"])
def test_nothing_is_written_outside_of_the_folder_nor_said_to_lie_there(fetch, tmp_path, weights):
    status, said = fetch(row("mine", weights, 'notes = "by hand"'))
    wrong = f"weights = '{weights}' in my.toml: it is a path, and there is no directory {weights}; correct it"
    assert (status, said) == (1, f"mine: FAILED: mine: {wrong}\n")
    status, said = fetch(row("mine", weights, PIECES))
    assert (status, said) == (2, ""), "the catalog is refused"
    assert {path.name for path in tmp_path.iterdir()} <= {"my.toml", "cache"}
    assert not (tmp_path.parent / "escape").exists()


def test_what_is_read_lies_where_assets_expects_it_and_nothing_is_fetched_twice(hub, fetch, rows, tmp_path):
    status, said = fetch(row("mine", "someone/clip"))
    assert status == 0, said
    folder = tmp_path / "DIR" / "models" / "someone" / "clip"
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == {
        name: content for name, content in FILES.items() if name != "README.md"
    }
    assert f"someone/clip -> DIR/models/someone/clip: {len(FILES) - 1} files, 2.3 MB, revision {COMMIT[:12]}" in said

    before = hub.asked.copy()
    assert fetch(row("mine", "someone/clip"))[0] == 0
    assert hub.asked == before

    card = replace(rows.models["pocket-clip"], weights="someone/clip")
    assert locate(card, tmp_path / "DIR") == folder
    assert resolved(card, tmp_path / "DIR").revision == COMMIT
    assert resolved(card, tmp_path / "DIR").sha256 == resolved(rows.models["pocket-clip"], None).sha256


def test_a_killed_fetch_goes_on_with_the_files_that_it_had_not(hub, start, fetch, tmp_path):
    halfway, killed = threading.Event(), threading.Event()
    hub.cut[f"someone/clip/{LARGE}"] = lambda: (halfway.set(), killed.wait(60))
    process = start(row("mine", "someone/clip"))
    folder = tmp_path / "DIR" / "models" / "someone" / "clip"
    done = folder / ".cache" / "huggingface" / "download" / "config.json.metadata"
    assert halfway.wait(60)
    while not done.exists():
        time.sleep(0.01)
    process.kill()
    process.communicate()
    killed.set()
    assert not (folder / LARGE).exists(), "half a file never has the name of a whole one"
    status, said = fetch(row("mine", "someone/clip"))
    assert status == 0, said
    assert (folder / LARGE).read_bytes() == FILES[LARGE]
    assert hub.asked["someone/clip/config.json"] == 1


def test_what_fails_is_named_and_the_others_are_fetched(hub, fetch, tmp_path):
    hub.repositories["someone/secret"] = FILES
    hub.gated.add("someone/secret")
    hub.lies |= {"someone/other/model.safetensors", "someone/other/config.json"}
    wanted = {"wrong": "someone/other", "secret": "someone/secret", "nowhere": "someone/nothing", "by-hand": "by-hand"}
    rows = "".join(row(name, weights) for name, weights in wanted.items()) + row("good", "someone/clip")
    status, said = fetch(rows)
    lines = dict(line.split(": ", 1) for line in said.splitlines())
    assert status == 1
    assert "not what the hub's hash says, and deleted; fetch once more" in lines["wrong"]
    assert {LARGE, "config.json"} <= set(re.split(r"[ ,:]+", lines["wrong"]))
    assert "gated: ask for access at https://huggingface.co/someone/secret, then set HF_TOKEN" in lines["secret"]
    assert "FAILED: someone/nothing cannot be fetched" in lines["nowhere"]
    assert "its files go into DIR/models/by-hand by hand" in lines["by-hand"]
    (tmp_path / "DIR" / "models" / "by-hand").mkdir()
    assert fetch(row("by-hand", "by-hand"))[0] == 0, "once it lies there"
    assert lines["good"].startswith("someone/clip -> DIR/models/someone/clip")
    assert not (tmp_path / "DIR" / "models" / "someone" / "other" / LARGE).exists()

    hub.lies.clear()
    assert fetch(row("wrong", "someone/other"))[0] == 0
    assert (tmp_path / "DIR" / "models" / "someone" / "other" / LARGE).read_bytes() == FILES[LARGE]


def test_a_dry_run_lists_sizes_and_what_is_gated_and_writes_nothing(fetch, tmp_path):
    (tmp_path / "here").mkdir()
    served = row("asked", "gpt-x").replace("dual-encoder", "served", 1)
    packaged = row("packaged", "package:medrival.models.pocket/clip")
    gated = row("gated", "someone/clip", "gated = true")
    status, said = fetch(gated + row("mine", "here") + packaged + served, "--dry-run")
    lines = dict(line.split(": ", 1) for line in said.splitlines())
    assert status == 0, said
    assert f"{len(FILES) - 1} files, 2.3 MB" in lines["gated"]
    assert "ask for access at https://huggingface.co/someone/clip" in lines["gated"]
    assert lines["packaged"] == "came with its package; nothing to fetch"
    assert lines["asked"] == "served by an endpoint; nothing to fetch"
    assert lines["mine"].endswith("here; nothing to fetch")
    assert not (tmp_path / "DIR").exists()


def test_a_data_set_is_mirrored_where_assets_expects_it_with_the_files_that_are_read(hub, fetch, tmp_path):
    files = {"README.md": b"about", "test.csv": b"image,question,answer", "a/imgs.zip": b"zip", "a/more.zip": b"not read"}
    hub.repositories |= {"someone/asked": files, "someone/secret": files}
    hub.gated.add("someone/secret")
    data = 'kind = "vqa"\nmodality = "x"\n'
    chosen = f'{data}data = "medrival.tasks.sets.slake:questions"\n'
    rows = (
        f'[tasks.whole]\n{data}data = "hub:someone/asked"\n'
        f'[tasks.part]\n{chosen}place = "someone/asked"\nfiles = ["*.csv", "a/imgs.zip"]\n'
        f'[tasks.lacking]\n{chosen}place = "someone/asked"\nfiles = ["*.parquet"]\n'
        f'[tasks.secret]\n{data}data = "hub:someone/secret"\n'
        f'[tasks.by-hand]\n{data}data = "folder:mine"\naccess = "https://example.org"\n'
    )
    folder = tmp_path / "DIR" / "datasets" / "someone" / "asked"
    status, said = fetch(rows, "--tasks", "part,lacking,secret,by-hand,phantom-chest")
    lines = dict(line.split(": ", 1) for line in said.splitlines())
    assert status == 1
    assert f"someone/asked -> DIR/datasets/someone/asked: 2 files, 0.0 MB, revision {COMMIT[:12]}" in lines["part"]
    assert {path.name for path in folder.rglob("*.*") if ".cache" not in path.parts} == {"test.csv", "imgs.zip"}
    assert "FAILED: someone/asked has no *.parquet" in lines["lacking"]
    assert "ask for access at https://huggingface.co/datasets/someone/secret, then set HF_TOKEN" in lines["secret"]
    assert "get it from https://example.org, put it into DIR/datasets/mine" in lines["by-hand"]
    assert lines["phantom-chest"] == "drawn when it is asked for; nothing to fetch"

    assert fetch(rows, "--tasks", "whole")[0] == 0
    assert hub.asked["someone/asked/test.csv"] == 1
    assert (folder / "a" / "more.zip").read_bytes() == b"not read"
    assert revision(folder) == COMMIT


def test_the_configuration_of_an_open_clip_text_tower_is_fetched_beside_it(hub, fetch, tmp_path):
    named = json.dumps({"model_cfg": {"text_cfg": {"hf_model_name": "someone/bert"}}}).encode()
    hub.repositories |= {
        "someone/open": {"open_clip_config.json": named, "open_clip_model.safetensors": b"weights"},
        "someone/bert": {"config.json": b"{}", "model.safetensors": b"not read"},
    }
    status, said = fetch(row("mine", "hf-hub:someone/open", adapter="open_clip:open_clip"))
    assert status == 0, said
    assert (tmp_path / "DIR" / "models" / "someone" / "bert" / "config.json").read_bytes() == b"{}"
    assert not (tmp_path / "DIR" / "models" / "someone" / "bert" / "model.safetensors").exists()


def test_an_image_tower_that_is_not_in_the_checkpoint_is_fetched_beside_it(hub, fetch, tmp_path):
    named = json.dumps({"mm_vision_tower": "someone/clip"}).encode()
    index = {part: json.dumps({"weight_map": {part: "model-1.safetensors"}}).encode() for part in ("model.norm.weight", TOWER)}
    hub.repositories |= {
        name: {"config.json": named, "model.safetensors.index.json": index[part], "model-1.safetensors": b"weights"}
        for name, part in (("someone/without", "model.norm.weight"), ("someone/with", TOWER))
    }
    status, said = fetch(row("mine", "someone/with", adapter="llava_med:llava_med"))
    assert status == 0, said
    assert not (tmp_path / "DIR" / "models" / "someone" / "clip").exists()
    status, said = fetch(row("mine", "someone/without", adapter="llava_med:llava_med"))
    assert status == 0, said
    assert (tmp_path / "DIR" / "models" / "someone" / "clip" / LARGE).read_bytes() == FILES[LARGE]
    shutil.move(tmp_path / "DIR" / "models" / "someone" / "without", tmp_path / "here")
    shutil.rmtree(tmp_path / "DIR")
    status, said = fetch(row("mine", "here", adapter="llava_med:llava_med"))
    assert (tmp_path / "DIR" / "models" / "someone" / "clip" / LARGE).is_file(), "of a directory of the user's, too"
    assert "mine: in here; someone/clip -> DIR/models/someone/clip" in said


PIECES = """pieces = [
    { place = "datasets/someone/weights", files = ["text_*.pth", "image(resnet).pth"] },
    { place = "someone/clip", files = ["config.json", "tokenizer.json"] },
]"""


def test_a_model_of_pieces_is_put_together_and_a_killed_fetch_is_gone_on_with(hub, start, fetch, tmp_path):
    weights = {"text_encoder.pth": b"text", "image(resnet).pth": b"image"}
    hub.repositories["someone/weights"] = {**weights, "images.zip": b"not read"}
    hub.commits["someone/weights"] = "d" * 40
    halfway, killed = threading.Event(), threading.Event()
    hub.cut["someone/clip/tokenizer.json"] = lambda: (halfway.set(), killed.wait(60))
    process = start(row("mine", "put-together", PIECES))
    assert halfway.wait(60)
    process.kill()
    process.communicate()
    killed.set()

    status, said = fetch(row("mine", "put-together", PIECES), "--dry-run")
    assert (status, "someone/weights -> DIR/models/put-together: 2 files, 0.0 MB" in said) == (0, True)
    status, said = fetch(row("mine", "put-together", PIECES))
    assert status == 0, said
    folder = tmp_path / "DIR" / "models" / "put-together"
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == {
        **weights,
        **{name: FILES[name] for name in ("config.json", "tokenizer.json")},
    }
    assert hub.asked["someone/weights/text_encoder.pth"] == 1

    card = catalog.load([tmp_path / "my.toml"]).models["mine"]
    assert locate(card, tmp_path / "DIR") == folder
    assert resolved(card, tmp_path / "DIR").revision == "", "it is no commit's of one repository"


def test_a_piece_that_the_hub_has_not_fails_with_what_is_lacking(hub, fetch):
    hub.repositories["someone/weights"] = {"text_encoder.pth": b"text"}
    status, said = fetch(row("mine", "put-together", PIECES))
    assert status == 1
    assert "mine: FAILED: someone/weights has no image(resnet).pth" in said


def test_the_catalog_says_of_any_adapter_what_is_fetched(hub, fetch, tmp_path):
    hub.repositories["someone/theirs"] = {"config.json": b"{}", "a.npz": b"weights", "model.safetensors": b"not read"}
    told = '[adapters."theirs:*"]\nweights = [["*.npz"]]\n'
    mine = row("mine", "someone/theirs").replace("medrival.models.dual_encoder:transformers", "theirs:load")
    assert fetch(mine + told)[0] == 0
    folder = tmp_path / "DIR" / "models" / "someone" / "theirs"
    assert {path.name for path in folder.iterdir() if path.is_file()} == {"config.json", "a.npz"}
    status, said = fetch(mine + told.replace("npz", "ckpt"))
    assert (status, said.strip()) == (
        1,
        "mine: FAILED: someone/theirs has no weights that are read here: none is like *.ckpt",
    )


def test_of_a_repository_in_two_forms_one_is_fetched(hub, fetch, tmp_path):
    names = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    hub.repositories["someone/both"] = {"config.json": b"{}", **dict.fromkeys(names, b"weights")}
    folder = tmp_path / "DIR" / "models" / "someone" / "both"
    for adapter, read in (("dual_encoder:transformers", LARGE), ("open_clip:open_clip", "open_clip_model.safetensors")):
        assert fetch(row("mine", "someone/both", adapter=adapter))[0] == 0
        assert {path.name for path in folder.iterdir() if path.is_file()} == {"config.json", read}
        shutil.rmtree(folder)


def test_a_cache_that_lacks_a_shard_or_a_part_of_another_model_is_filled(hub, tmp_path):
    index = json.dumps({"weight_map": {"a": "pytorch_model-1.bin", "b": "pytorch_model-2.bin"}}).encode()
    shards = {"pytorch_model-1.bin": b"a", "pytorch_model-2.bin": b"b"}
    named = json.dumps({"model_cfg": {"text_cfg": {"hf_model_name": "someone/bert"}}}).encode()
    hub.repositories |= {
        "someone/sharded": {"config.json": b"{}", "pytorch_model.bin.index.json": index, **shards},
        "someone/open": {"open_clip_config.json": named, "open_clip_model.safetensors": b"weights"},
        "someone/bert": {"config.json": b"{}", "model.safetensors": b"not read"},
    }
    code = (
        "from dataclasses import replace; from medrival import catalog; from medrival.weights import locate, settled\n"
        "rows = catalog.load().models\n"
        "print(len(list(locate(replace(rows['pocket-clip'], weights='someone/sharded'), None).glob('*.bin'))))\n"
        "card = settled(replace(rows['openclip-vit-b32'], weights='someone/open'), None)\n"
        "from pathlib import Path; print([path.name for path in Path(card.places['someone/bert']).iterdir()])\n"
    )
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache")}

    def run(**more: str) -> list[str]:
        done = subprocess.run([sys.executable, "-c", code], env=environment | more, capture_output=True, text=True, check=False)
        return done.stdout.splitlines() or done.stderr.splitlines()[-1:]

    assert run() == ["2", "['config.json']"]
    (shard,) = (tmp_path / "cache").rglob("snapshots/*/pytorch_model-2.bin")
    shard.unlink()
    assert "someone/sharded is not on this machine" in run(HF_HUB_OFFLINE="1")[0]
    assert run() == run(HF_HUB_OFFLINE="1") == ["2", "['config.json']"]


def test_a_run_takes_a_model_from_the_hub_and_a_later_one_from_its_cache(hub, tmp_path):
    hub.repositories["someone/pickled"] = {"config.json": b"{}", "pytorch_model.bin": b"weights", "flax_model.msgpack": b"no"}
    code = (
        "from dataclasses import replace; from medrival import catalog; from medrival.weights import locate, resolved\n"
        "card = catalog.load().models['pocket-clip']\n"
        "for weights in ('someone/clip', 'someone/pickled'):\n"
        "    folder = locate(replace(card, weights=weights), None)\n"
        "    print(*sorted(path.name for path in folder.iterdir()), resolved(replace(card, weights=weights), None).revision)\n"
    )
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache")}
    expected = [" ".join([*sorted(set(FILES) - {"README.md"}), COMMIT]), f"config.json pytorch_model.bin {COMMIT}"]
    for offline in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, "HF_HUB_OFFLINE": offline},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.splitlines() == expected, done.stderr


def test_a_run_takes_a_data_sets_files_from_the_hub_and_a_later_one_from_its_cache(hub, tmp_path):
    hub.repositories["someone/asked"] = {"test.csv": b"image,question,answer", "imgs.zip": b"zip", "more.zip": b"not read"}
    code = (
        "from pathlib import Path; from medrival.catalog import TaskCard; from medrival.tasks.files import Files\n"
        "options = {'files': ['test.csv', '*s.zip']}\n"
        "card = TaskCard('asked', 'vqa', 'x', 'some:loader', place='someone/asked', options=options)\n"
        "files = Files.of(card, None, Path())\n"
        "print(files.revision, files.path('test.csv').read_bytes(), sorted(path.name for path in files.root.iterdir()))\n"
    )
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache")}

    def run(**more: str) -> str:
        done = subprocess.run([sys.executable, "-c", code], env=environment | more, capture_output=True, text=True, check=False)
        return done.stdout or done.stderr.splitlines()[-1]

    assert run() == f"{COMMIT} {b'image,question,answer'} ['imgs.zip', 'test.csv']\n"
    assert run(HF_HUB_OFFLINE="1") == run()
    assert sum(hub.asked.values()) == 2
