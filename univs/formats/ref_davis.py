"""Ref-DAVIS17: DAVIS-2017 with sentences of four annotators for each object.

Two layouts: the texts as they are handed out beside DAVIS (davis_text_annotations/*.txt), and what ReferFormer and
others after it convert them to (meta_expressions, four sentences for each object in turn). Two people each wrote a
sentence from the first frame and one from the whole video: these are the four annotators anno_0 to anno_3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from univs.errors import UserError
from univs.formats import davis
from univs.formats.answer_writer import AnswerWriter, Take, atomic_folders, frame_file, mask_of
from univs.formats.files import expecting, first_folder, inside, list_frames, read_json, require_folder, write_lines
from univs.formats.label_maps import label_files, read_ids, recording_of, video_name
from univs.formats.lazy import LazyRecordings
from univs.formats.recording import Expression, Recording, RecordingSet
from univs.formats.sample import VideoSample
from univs.formats.truth_files import truth_folders
from univs.formats.youtube_vos import read_nouns
from univs.masks.mask_files import write_objects
from univs.results import FrameResult
from univs.texts import decode_text

TEXTS = ("Davis17_annot1.txt", "Davis17_annot1_full_video.txt", "Davis17_annot2.txt", "Davis17_annot2_full_video.txt")
"""The sentences of anno_0 to anno_3, in the order of the converted layout."""
TEXT_FOLDER = "davis_text_annotations"
MISSPELT = {"clasic-car": "classic-car", "dog-scale": "dogs-scale", "motor-bike": "motorbike"}
FIELDS = '{"videos": {VIDEO: {"frames": […], "expressions": {NUMBER: {"exp": SENTENCE, "obj_id": ID}}}}}'

Sentences = tuple[Expression, ...]
Nouns = dict[int, str]
Item = tuple[str, Sentences, Nouns]


def read(root: Path, split: str) -> RecordingSet:
    """A split in `root`: val or train, of either layout. Raises UserError that names what is missing or does not fit.

    The key of a sentence is anno_A/OBJECT, A from 0 to 3.
    """
    what = f"ref_davis17 {split}"
    converted = "valid" if split == "val" else split
    path = root / "meta_expressions" / converted / "meta_expressions.json"
    if path.is_file():
        home = root / converted
        images, masks = require_folder(home / "JPEGImages", what), require_folder(home / "Annotations", what)
        items = _converted(path, home / "meta.json", what)
    else:
        home = root / "DAVIS" if (root / "DAVIS").is_dir() else root
        images = first_folder(home, ("JPEGImages/480p", "JPEGImages"), what)
        masks = first_folder(home, ("Annotations_unsupervised/480p", "Annotations/480p"), what)
        names = davis.sequence_names(davis.list_file(home, split, davis.DIALECTS["davis17"], what), what)
        items = _handed_out(root, home, names, path, what)
    return RecordingSet("ref_davis17", split, root, LazyRecordings(partial(_recording, images, masks, what), items))


def _converted(path: Path, nouns: Path, what: str) -> tuple[Item, ...]:
    """The videos of meta_expressions.json: sentence i is of annotator i modulo 4."""
    videos = read_json(path, what, ["videos"])["videos"]
    with expecting(path, FIELDS):
        objects = read_nouns(nouns, what, dict(videos))
        found: list[Item] = []
        for name, told in videos.items():
            said = sorted(told["expressions"].items(), key=lambda item: int(item[0]))
            sentences = [(place % 4, int(one["obj_id"]), str(one["exp"])) for place, (_, one) in enumerate(said)]
            found.append((name, _expressions(sentences), objects[name]))
    return tuple(found)


def _handed_out(root: Path, home: Path, names: Iterable[str], other: Path, what: str) -> tuple[Item, ...]:
    """The sequences of DAVIS with the sentences of the four text files."""
    places = (root / TEXT_FOLDER, home / TEXT_FOLDER)
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise UserError(f"{what}: no sentences; expected {places[0]}/{TEXTS[0]}, … or {other}")
    said: dict[str, list[tuple[int, int, str]]] = {}
    for annotator, file in enumerate(TEXTS):
        for sequence, number, text in read_sentences(folder / file, what):
            said.setdefault(sequence, []).append((annotator, number, text))
    named = davis.read_semantics(home, what)
    for name in names:
        if name not in said:
            raise UserError(f"{what}: {folder} has no sentence for the sequence {name}")
    return tuple((name, _expressions(said[name]), davis.category_names(named, name, home)) for name in names)


def read_sentences(path: Path, what: str) -> list[tuple[str, int, str]]:
    """Sequence, object and sentence of each line `SEQUENCE OBJECT "SENTENCE"`; UserError for other lines.

    The official files are UTF-8 and Latin-1 and misspell three sequences.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{what}: cannot read {path}: {error}") from error
    try:
        lines = decode_text(content).splitlines()
    except UnicodeDecodeError:
        lines = content.decode("latin-1").splitlines()
    found = []
    for place, line in enumerate(lines, 1):
        parts = line.split(maxsplit=2)
        if not parts:
            continue
        if len(parts) < 3 or not parts[1].isdigit():
            raise UserError(f'{path}, line {place}: expected SEQUENCE OBJECT "SENTENCE"')
        found.append((MISSPELT.get(parts[0], parts[0]), int(parts[1]), parts[2].strip().strip('"').strip()))
    return found


def _expressions(said: Iterable[tuple[int, int, str]]) -> Sentences:
    """Sentences of (annotator, object, text), those of an annotator by object."""
    return tuple(Expression(f"anno_{annotator}/{number}", text, number) for annotator, number, text in sorted(said))


def _recording(images: Path, masks: Path, what: str, item: Item) -> Recording:
    name, expressions, nouns = item
    frames = list_frames(inside(images, name), what)
    files = label_files(frames, inside(masks, name), what)
    return recording_of(name, frames, files, read_ids, categories=nouns, expressions=expressions)


def write(samples: Iterable[VideoSample], root: Path, split: str) -> None:
    """Writes clips as a split in the layout that is handed out, with Annotations_unsupervised (what is scored).

    Each annotator says another sentence of an object, and the first ones again where there are fewer than four. An
    object without any is called by its category.
    """
    lines: dict[str, list[str]] = {file: [] for file in TEXTS}

    def noting(clips: Iterable[VideoSample]) -> Iterable[VideoSample]:
        for place, sample in enumerate(clips):
            for number in sample.object_ids():
                texts = sample.expressions.get(number) or [f"the {sample.categories.get(number, f'object {number}')}"]
                for file, text in zip(TEXTS, islice(cycle(texts), 4), strict=True):
                    lines[file].append(f'{video_name(sample, place)} {number} "{text}"')
            yield sample

    davis.write(noting(samples), root, split, dialect="davis17_unsupervised")
    for file, said in lines.items():
        path = root / TEXT_FOLDER / file
        own = {line.split(maxsplit=1)[0] for line in said}
        kept = (
            [f'{name} {k} "{text}"' for name, k, text in read_sentences(path, "ref_davis17")] if path.is_file() else []
        )
        write_lines(path, [line for line in kept if line.split(maxsplit=1)[0] not in own] + said)


class AnnotatorFolders(AnswerWriter):
    """Answers as ANNOTATOR/VIDEO/FRAME.png, indexed by expression, for expressions whose keys are ANNOTATOR/EXPRESSION.

    An annotator's expressions are numbered from 1 in their order. Where masks overlap the more certain one wins.
    """

    def __init__(self, folder: Path, data: RecordingSet) -> None:
        self.pred = folder

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Take]:
        spoken = spoken_by(recording)
        with atomic_folders([inside(self.pred, f"{name}/{recording.name}") for name in spoken]) as folders:

            def take(result: FrameResult) -> None:
                for folder, numbers in zip(folders, spoken.values(), strict=True):
                    labels = np.zeros(result.labels.shape, np.uint16)
                    certain = sorted(range(len(numbers)), key=lambda k: result.scores.get(numbers[k], 0.0))
                    for place in certain:
                        labels[mask_of(result, numbers[place])] = place + 1
                    write_objects(folder / frame_file(recording, result.frame_index), labels)

            yield take

    def has(self, recording: Recording) -> bool:
        return all((self.pred / name / recording.name).is_dir() for name in spoken_by(recording))


def spoken_by(recording: Recording) -> dict[str, list[int]]:
    """Annotator -> the objects that its expressions ask for. UserError for expressions of nobody."""
    found: dict[str, list[int]] = {}
    for number, said in enumerate(recording.expressions, 1):
        annotator, slash, _ = said.key.partition("/")
        if not slash:
            raise UserError(f"{recording.name}: the expression {said.key!r} is of no annotator; expected anno_0/NUMBER")
        found.setdefault(annotator, []).append(number)
    return found


truth = partial(truth_folders, home="Annotations_unsupervised/480p/{}", names="ImageSets/2017/val.txt")
"""What its scorer takes (see `univs.formats.truth_files`)."""
