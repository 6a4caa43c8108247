from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from univs.errors import UserError
from univs.models import UniVS, build_model
from univs.models.own_files import save
from univs.models.zoo import load, start_from

LITE2 = "tf_efficientnet_lite2"


def test_tiny_and_r50_differ_in_numbers_and_options_only(repository: Path) -> None:
    tiny, r50 = (yaml.safe_load((repository / f"configs/model/{name}.yaml").read_text()) for name in ("tiny", "r50"))
    assert tiny.keys() == r50.keys()
    for part in ("backbone", "visual_sampler", "mask_decoder"):
        assert tiny[part].keys() == r50[part].keys(), part
    assert tiny["streaming"].keys() - r50["streaming"].keys() == {"short_side", "dense_frames", "dense_interval"}


def test_tiny_is_small(repository: Path) -> None:
    model = build_model(yaml.safe_load((repository / "configs/model/tiny.yaml").read_text()))
    sizes = {name: sum(p.numel() for p in part.parameters()) / 1e6 for name, part in model.named_children()}
    assert sizes.pop("word_head") < 4.5  # runs where words are asked for
    assert sizes.pop("mask_refiner") < 2.0  # and this where a box shows something, or words have found it
    assert sum(sizes.values()) < 6.0 and sizes["mask_decoder"] < 1.2


def test_images_are_normalised_then_padded(small_model: UniVS) -> None:
    images = small_model.normalize(torch.full((1, 3, 33, 64), 255, dtype=torch.uint8))
    assert images.shape == (1, 3, 64, 64)
    assert (images[:, :, :33] == 1).all() and not images[:, :, 33:].any()


def test_what_is_saved_is_loaded(small_model: UniVS, small_config: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save(small_model, path, small_config, half=False)
    loaded = load(path)
    assert not loaded.training and loaded.config == small_config
    for name, value in small_model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    full = path.stat().st_size
    save(small_model, path, small_config)
    halved = load(path)
    assert path.stat().st_size < 0.6 * full
    for name, value in small_model.state_dict().items():
        stored = halved.state_dict()[name]
        assert stored.dtype == value.dtype
        assert torch.equal(stored, value.half().float() if value.ndim > 1 else value), name
    assert [file.name for file in tmp_path.iterdir()] == ["small.safetensors"]


def broken_files(folder: Path, model: UniVS, config: dict[str, Any]) -> dict[Path, str]:
    """Files that are not what they say, and what must be said of them."""
    good = folder / "good.safetensors"
    save(model, good, config)
    cases: dict[Path, str] = {}

    def case(name: str, message: str) -> Path:
        cases[folder / name] = message
        return folder / name

    case("absent.safetensors", "no weights file")
    case("cut.safetensors", "not a whole safetensors file").write_bytes(good.read_bytes()[:-100])
    case("text.safetensors", "not a whole safetensors file").write_text("hello")
    case("empty.safetensors", "not a whole safetensors file").write_bytes(b"")
    torch.save({"a": torch.zeros(1)}, case("pickle.safetensors", "it is a pickle"))
    save_file({"a": torch.zeros(1)}, case("bare.safetensors", "does not say which model"))
    save_file({"a": torch.zeros(1)}, case("json.safetensors", "does not say"), metadata={"univs_config": "{"})
    save_file({"a": torch.zeros(1)}, case("list.safetensors", "cannot build"), metadata={"univs_config": "[]"})
    numbers = {"univs_config": json.dumps(config)}
    save_file({"a": torch.zeros(1)}, case("other.safetensors", "a is in the file only"), metadata=numbers)
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    shaped = {**tensors, "mask_decoder.query": torch.zeros(3, 3)}
    save_file(shaped, case("shape.safetensors", r"has shape \(3, 3\) and not"), metadata=numbers)
    del tensors["mask_decoder.query"]
    save_file(tensors, case("less.safetensors", "mask_decoder.query is missing"), metadata=numbers)
    case("cut.pth", "not a checkpoint of plain tensors").write_bytes(b"PK\x03\x04 not a zip")
    case("code.pth", "not a checkpoint of plain tensors").write_bytes(pickle.dumps(Path("x"), protocol=2))
    torch.save({"a": torch.zeros(1)}, case("foreign.pth", "not an official UniVS checkpoint"))
    torch.save([1, 2], case("numbers.pth", "holds no tensors by name"))
    case("cut.pkl", "not a whole pickle of arrays").write_bytes(b"\x80\x02}q")
    case("code.pkl", "asks for pathlib.*which is not run").write_bytes(pickle.dumps(Path("x"), protocol=2))
    case("foreign.pkl", "not an official UniVS checkpoint").write_bytes(pickle.dumps({"model": {}}))
    case("tiny2", "unknown weights 'tiny2'")
    return cases


def test_bad_files_get_one_clear_line(small_model: UniVS, small_config: dict[str, Any], tmp_path: Path) -> None:
    for path, message in broken_files(tmp_path, small_model, small_config).items():
        given = path.name if "." not in path.name else str(path)
        with pytest.raises(UserError, match=message) as caught:
            load(given)
        assert "\n" not in str(caught.value), path.name


def test_a_device_that_is_not_there_is_named(small_model: UniVS, small_config: dict[str, Any], tmp_path: Path) -> None:
    save(small_model, tmp_path / "small.safetensors", small_config)
    with pytest.raises(UserError, match="cannot use device 'warp'"):
        load(tmp_path / "small.safetensors", device="warp")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("pixel_decoder", "kind"), "magic", "unknown pixel decoder 'magic': one of light_fpn, deformable"),
        (("mask_decoder", "heads"), 5, "32 channels do not divide into 5 heads"),
        (("mask_decoder", "colour"), 1, "colour"),
        (("mask_decoder", "time"), "soon", "unknown time embedding 'soon'"),
        (("backbone", "name"), "os.system", "unknown backbone 'os.system'"),
    ],
)
def test_impossible_numbers_are_named(
    small_config: dict[str, Any], place: tuple[str, str], value: object, message: str
) -> None:
    config = copy.deepcopy(small_config)
    config[place[0]][place[1]] = value
    with pytest.raises(UserError, match=message):
        build_model(config)


def test_a_missing_part_is_named(small_config: dict[str, Any]) -> None:
    del small_config["backbone"]
    with pytest.raises(UserError, match="missing entry 'backbone'"):
        build_model(small_config)


def test_broken_numbers_and_counters_in_our_files(
    small_model: UniVS, small_config: dict[str, Any], tmp_path: Path
) -> None:
    numbers = {"univs_config": json.dumps(small_config)}
    tensors = {name: value.contiguous() for name, value in small_model.state_dict().items()}
    nan = torch.full_like(tensors["mask_decoder.query"], float("nan"))
    save_file({**tensors, "mask_decoder.query": nan}, tmp_path / "nan.safetensors", metadata=numbers)
    with pytest.raises(UserError, match=r"nan\.safetensors: mask_decoder\.query holds NaN or infinity"):
        load(tmp_path / "nan.safetensors")
    whole = torch.zeros(nan.shape, dtype=torch.int8)
    save_file({**tensors, "mask_decoder.query": whole}, tmp_path / "whole.safetensors", metadata=numbers)
    with pytest.raises(UserError, match=r"mask_decoder\.query holds torch\.int8"):
        load(tmp_path / "whole.safetensors")
    uncounted = {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}
    save_file(uncounted, tmp_path / "few.safetensors", metadata=numbers)
    save_file({**tensors, "x.num_batches_tracked": torch.tensor(3)}, tmp_path / "more.safetensors", metadata=numbers)
    for name in ("few", "more"):
        loaded = load(tmp_path / f"{name}.safetensors").state_dict()
        assert all(torch.equal(loaded[key], value) for key, value in uncounted.items())


def test_weights_that_are_of_nothing_here(small_model: UniVS, small_config: dict[str, Any], tmp_path: Path) -> None:
    save(small_model, tmp_path / "small.safetensors", small_config)
    other: Any = torch.nn.Linear(2, 2)
    other.config = {"name": "other"}
    with pytest.raises(UserError, match=r"nothing in .*small\.safetensors fits the model other"):
        start_from(other, tmp_path / "small.safetensors")
    with pytest.raises(UserError, match="are a folder; name the file in it"):
        load(tmp_path)
    with pytest.raises(UserError, match="no weights file at"):
        load(tmp_path / "none")
    torch.save({"model": small_model.state_dict(), "step": 3}, tmp_path / "last.pt")
    with pytest.raises(UserError, match="its names are those of univs, without the numbers of the model"):
        load(tmp_path / "last.pt")


def test_a_closer_look_of_which_a_part_is_new_has_not_learnt(
    small_config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = {"side": 64, "widths": [8, 8, 16], "layers": 1}
    given = build_model({**small_config, "mask_refiner": numbers})
    assert given.mask_refiner is not None
    given.mask_refiner.learnt.fill_(True)
    save(given, tmp_path / "given.safetensors", {**small_config, "mask_refiner": numbers})
    for changes in ({}, {"around": [2, 2, 2]}, {"layers": 0}, {"trunk": "tf_efficientnet_lite0"}):
        model = build_model({**small_config, "mask_refiner": {**numbers, **changes}})
        start_from(model, tmp_path / "given.safetensors")
        assert model.looks_closer == (not changes), changes
    assert "mask_refiner.trunk, which start anew" in caplog.text
    other = build_model(
        {**small_config, "mask_refiner": numbers, "backbone": {**small_config["backbone"], "name": LITE2}}
    )
    start_from(other, tmp_path / "given.safetensors")
    assert not other.looks_closer  # it would read maps of another backbone
