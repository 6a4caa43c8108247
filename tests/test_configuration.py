"""Settings as people type them, through Hydra and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from univs.configuration import compose
from univs.errors import UserError

PATHS = [
    "/data/Größe",
    "/data/视频",
    "/data/set (1)",
    "/data/a=b",
    "/data/a,b",
    "/data/{a}[b]",
    "[a]",
    "{a: b}",
    "/it's",
    '/a "b" c',
    "/x'y\"z",
    "C:\\videos\\new\\",
    "/data/$HOME/${x}/${",
    "!(*)&%#@;<>|^`:?",
    " a\tb ",
    "007",
    "1e3",
    "true",
    "-x",
    "/a\udcffb",
    "~nobody-of-this-name/x",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_taken_as_it_is_typed(path: str) -> None:
    settings = compose("evaluate", ["dataset=davis17", f"data.root={path}", f"out={path}", f"weights={path}"])
    assert (settings["data"]["root"], settings["out"], settings["weights"]) == (path, path, path)
    settings = compose("evaluate", ["dataset=all", f"data.roots.davis17={path}"])
    assert settings["data"]["roots"]["davis17"] == path
    settings = compose("train", [f"data.root={path}", f"init={path}"])
    assert settings["data"]["sources"][0]["root"] == f"{path}/labelled/instances/coco_subset"
    assert settings["init"] == path


def test_home_and_quotes_and_references(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    settings = compose("train", ["data.root=~/a b", "init=~/w.safetensors", "out=runs/${model.name} (2)"])
    assert settings["data"]["sources"][0]["exclude"] == "/home/me/a b/labelled/val.txt"
    assert (settings["init"], settings["out"]) == ("/home/me/w.safetensors", "runs/tiny (2)")
    assert compose("evaluate", ["data.root='/a (b)'"])["data"]["root"] == "/a (b)"
    assert compose("evaluate", [r'data.root="~/a \"b\""'])["data"]["root"] == '/home/me/a "b"'
    assert compose("train", ["data.root=x", "init=null"])["init"] is None


def test_every_path_may_begin_at_home_and_no_other_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    settings = compose("evaluate", ["dataset=portraits", "data.root=~/d", "people.set_aside=[~/1.jpg]"])
    assert settings["people"]["root"] == "/home/me/d"
    first, *_, last = settings["people"]["sources"]
    assert first["root"] == "/home/me/d/vos_train/photos/humans" and first["exclude"] == ["~/1.jpg"]
    assert last["exclude"] == "/home/me/d/labelled/val.txt"
    settings = compose("evaluate", ["dataset=davis17_interactive", "data.root=x", "segmenter=~/s", "fusion=~/f (1)"])
    assert (settings["segmenter"], settings["fusion"]) == ("/home/me/s", "/home/me/f (1)")
    assert compose("train", ["data.root=x", "stage=fusion", "stage.propagation=~/p"])["stage"]["propagation"] == (
        "/home/me/p"
    )
    stage = compose("train", ["data.root=x", "stage=released_clip", "stage.text_weights=~/t", "stage.class_table=~/c"])
    assert (stage["stage"]["text_weights"], stage["stage"]["class_table"]) == ("/home/me/t", "/home/me/c")
    typed = "[{kind: photos, root: ~/p, category: ~, exclude: [~/b, ~]}, {kind: coco, root: ~, only: ~/o.txt}]"
    assert compose("train", ["data.root=x", f"data.sources={typed}"])["data"]["sources"] == [
        {"kind": "photos", "root": "/home/me/p", "category": "~", "exclude": ["~/b", "~"]},
        {"kind": "coco", "root": "/home/me", "only": "/home/me/o.txt"},
    ]
    file = own_file(tmp_path, "root: ~/r\nsources: [{kind: videos, root: '${data.root}/v'}]\n")
    assert compose("train", [f"data={file}"])["data"]["sources"][0]["root"] == "/home/me/r/v"
    assert compose("evaluate", ["dataset=vot", "data.root=x", "sequences=[~/a]"])["sequences"] == ["~/a"]


@pytest.mark.parametrize(
    ("typed", "sources"),
    [
        ("[{kind: coco, root: c}, {kind: videos,root: v,gaps: [1, 2]}]",
         [{"kind": "coco", "root": "c"}, {"kind": "videos", "root": "v", "gaps": [1, 2]}]),
        ("[{kind: coco, root: ~/c (1), weight: 0.5}]", [{"kind": "coco", "root": "/home/me/c (1)", "weight": 0.5}]),
        ("[{kind: coco, root: /a,b=c: d, weight: 1}]", [{"kind": "coco", "root": "/a,b=c: d", "weight": 1}]),
        ("[{kind: coco, root: /Größe/[x], complete: false}]",
         [{"kind": "coco", "root": "/Größe/[x]", "complete": False}]),
        ("[{kind:coco,root:'/a, weight: {'}]", [{"kind": "coco", "root": "/a, weight: {"}]),
        ("[{root: ${data.root}/x y, exclude: [001, a b.jpg, \"c,d\"]}]",
         [{"root": "/R R/x y", "exclude": ["001", "a b.jpg", "c,d"]}]),
        ("[{kind: photos, root: 5, category: 7}]", [{"kind": "photos", "root": "5", "category": "7"}]),
        ("[{kind: synth, size: [256, 256]}, ]", [{"kind": "synth", "size": [256, 256]}]),
        ("[]", []),
    ],
)  # fmt: skip
def test_lists_of_sources(monkeypatch: pytest.MonkeyPatch, typed: str, sources: list[Any]) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert compose("train", ["data.root=/R R", f"data.sources={typed}"])["data"]["sources"] == sources


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("foo=1", "train: there is no setting foo; the files in configs list all"),
        ("stage.foo=1", "there is no setting stage.foo"),
        (
            "stage=clop",
            "there is no stage/clop; there are clip, ",
        ),
        ("stage=Größe (1)", "there is no stage/Größe (1)"),
        ("foo", "'foo' is not of the form KEY=VALUE"),
        ("=x", "'=x' is not of the form KEY=VALUE"),
        ("data.sources=[{kind: coco, root: c}", "a bracket is not closed; expected [A, B] or [{NAME: VALUE, ...}]"),
        ("data.sources=[{kind coco}]", "expected NAME: VALUE at 'kind coco}]'"),
        ("data.sources=[] x", "there is more behind the last ]"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(override: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        compose("train", ["data.root=x", override])
    assert words in str(error.value) and "\n" not in str(error.value) and "univs_text" not in str(error.value)


def test_what_must_be_given() -> None:
    with pytest.raises(UserError, match=r"no value for data.root; add data.root="):
        compose("train")
    with pytest.raises(UserError, match="there is no setting options.clip; an option of the session is added with a +"):
        compose("evaluate", ["dataset=davis17", "data.root=x", "options.clip=2"])


def test_other_values_keep_their_types() -> None:
    stage = compose("train", ["data.root=x", "stage.size=64", "stage.learning_rate=1e-3", "stage.minutes=null"])[
        "stage"
    ]
    assert (stage["size"], stage["learning_rate"], stage["minutes"]) == (64, 1e-3, None)
    settings = compose(
        "evaluate", ["dataset=davis_folder", "data.root=x", "sequences=[00001, 视频]", "save_masks=true"]
    )
    assert settings["sequences"] == ["00001", "视频"] and settings["save_masks"] is True
    assert compose("train", ["data.root=x", "stage.size=4,80"])["stage"]["size"] == "4,80"  # refused by its type later


def own_file(folder: Path, text: str, name: str = "my people (1).yaml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_group_takes_a_file_of_ones_own(tmp_path: Path) -> None:
    file = own_file(
        tmp_path,
        "root: ???\nprobabilities: {photo: 0, video: 1}\nsynth: {num_frames: 4}\n"
        'sources:\n  - {kind: videos, root: "${data.root}/a b", gaps: [1, 3]}\n',
    )
    settings = compose("train", [f"data={file}", "data.root=/x y", "data.synth.num_frames=6", "stage=image"])
    assert settings["data"]["sources"] == [{"kind": "videos", "root": "/x y/a b", "gaps": [1, 3]}]
    assert settings["data"]["synth"] == {"num_frames": 6} and settings["data"]["probabilities"]["video"] == 1
    assert settings["stage"]["frames"] == 1 and settings["model"]["name"] == "tiny"
    with pytest.raises(UserError, match=r"no value for data\.root"):
        compose("train", [f"data={file}"])


def test_two_files_of_the_same_name_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    own_file(tmp_path, "root: r\nsources: []\n", "mine.yml")
    (tmp_path / "s").mkdir()
    own_file(tmp_path / "s", "frames: 9\n", "mine.yaml")
    settings = compose("train", ["data=~/mine.yml", f"stage={tmp_path / 's' / 'mine.yaml'}"])
    assert settings["data"]["root"] == "r" and settings["stage"] == {"frames": 9}


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [1", "is no YAML"), ("- 1\n", "holds no settings"), ("", "holds no settings"), (None, "does not exist")],
)
def test_files_that_are_none(tmp_path: Path, text: str | None, said: str) -> None:
    file = str(tmp_path / "x.yaml") if text is None else own_file(tmp_path, text)
    with pytest.raises(UserError, match=said) as caught:
        compose("train", [f"data={file}"])
    assert "\n" not in str(caught.value) and file in str(caught.value)
