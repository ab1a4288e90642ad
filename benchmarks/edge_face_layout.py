"""Learn where eyes, nose and mouth are: writes the weights that `vcmbench/codecs/edge/face_layout.py` ships with.

The data set must be in VGGFace2's layout, with its five landmarks. Each portrait is taken as it is, mirrored, and moved,
turned and scaled a little. A step learns from where the steps before place faces that they have not learned from, as it will
meet them. Prints the mean distance to the landmarks on the split that is not learned from, in pixels of 256.

    .venv/bin/python benchmarks/edge_face_layout.py [--portraits PATH] [--steps 4] [--rounds 12] [--ridge 0.0006]
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from measuring import PORTRAITS

from vcmbench.codecs.edge import face_layout
from vcmbench.codecs.edge.face_layout import FRAME, Marks
from vcmbench.datasets.prepare import Preparation, prepare
from vcmbench.datasets.vggface2 import VggFace2
from vcmbench.interfaces import Image

FOLDS = 5
MIRRORED = (1, 0, 2, 4, 3)


@dataclass(frozen=True)
class Face:
    """A thumbnail, its landmarks, and which portrait it was made of."""

    grey: npt.NDArray[np.uint8]
    marks: Marks
    portrait: int


def portraits(root: Path, split: str) -> Iterator[tuple[Image, Marks]]:
    """Prepare every portrait that has a box and landmarks."""
    with (root / "bb_landmark" / f"loose_landmark_{split}.csv").open() as lines:
        landmarks = {name: np.array(values, float).reshape(5, 2) for name, *values in list(csv.reader(lines))[1:]}
    dataset = VggFace2(str(root), split)
    for row in (row for batch in dataset.images() for row in batch.to_pylist()):
        box = row["box_x"], row["box_y"], row["box_width"], row["box_height"]
        prepared = prepare(dataset.read(row["path"]), box, Preparation())
        if prepared.box is not None:
            scale = prepared.box[2] / box[2]
            yield prepared.image, prepared.box[:2] + (landmarks[row["image"].removesuffix(".jpg")] - box[:2]) * scale


def varied(image: Image, marks: Marks, portrait: int, rounds: int, random: np.random.Generator) -> Iterator[Face]:
    """Yield the portrait and its mirror image, then others moved at random."""
    side = len(image)
    for number in range(rounds):
        amount = 0 if number < 2 else 1
        scale, angle = 1 + amount * 0.08 * random.normal(), amount * 0.12 * random.normal()
        turn = scale * np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
        shift = side / 2 - turn @ np.full(2, side / 2) + amount * 0.04 * side * random.normal(size=2)
        affine = np.column_stack((turn, shift))
        picture = cv2.warpAffine(image, affine, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        places = marks @ turn.T + shift
        if number % 2:
            picture = picture[:, ::-1]
            places = np.column_stack((side - 1 - places[:, 0], places[:, 1]))[list(MIRRORED)]
        grey, placement = face_layout.thumbnail(np.ascontiguousarray(picture, np.uint8))
        yield Face(grey, (places - placement.corner) / placement.scale, portrait)


def regression(inputs: npt.NDArray[np.float32], outputs: npt.NDArray[np.float64], ridge: float) -> npt.NDArray[np.float32]:
    """Return the weights of the inputs and, last, of a constant 1."""
    centre, middle = inputs.mean(axis=0), outputs.mean(axis=0)
    centred = inputs - centre
    products = centred.T @ centred + ridge * len(inputs) * np.eye(inputs.shape[1])
    weights = np.linalg.solve(products, centred.T @ (outputs - middle))
    return np.vstack((weights, middle - centre @ weights)).astype(np.float32)


def learn(faces: list[Face], mean: Marks, steps: int, ridge: float) -> npt.NDArray[np.float32]:
    """Return the weights of all steps."""
    side = faces[0].grey.shape[0]
    found = [mean * side / FRAME] * len(faces)
    fold = np.array([face.portrait % FOLDS for face in faces])
    learned = []
    for number in range(steps):
        frames = [face_layout.frame_of(marks, mean) for marks in found]
        inputs = np.stack([face_layout.features(face.grey, frame) for face, frame in zip(faces, frames, strict=True)])
        outputs = np.stack(
            [
                ((face.marks - marks) @ frame[:, :2].T).ravel()
                for face, marks, frame in zip(faces, found, frames, strict=True)
            ]
        )
        learned.append(regression(inputs, outputs, ridge))
        others = [regression(inputs[fold != each], outputs[fold != each], ridge) for each in range(FOLDS)]
        found = [
            face_layout.moved(face.grey, marks, mean, others[each])
            for face, marks, each in zip(faces, found, fold, strict=True)
        ]
        distances = [np.linalg.norm(marks - face.marks, axis=1).mean() for face, marks in zip(faces, found, strict=True)]
        print(f"step {number + 1}: {np.mean(distances) * 256 / side:.2f} pixels from the landmarks of other portraits")
    return np.stack(learned)


def main() -> None:
    """Learn from one split, write, and measure on the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portraits", type=Path, default=PORTRAITS)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--ridge", type=float, default=0.0006)
    options = parser.parse_args()

    random = np.random.default_rng(0)
    known = list(portraits(options.portraits, "train"))
    faces = [
        face for number, (image, marks) in enumerate(known) for face in varied(image, marks, number, options.rounds, random)
    ]
    shapes = [face.marks * FRAME / face.grey.shape[0] for face in faces]
    mean = np.mean(shapes, axis=0)
    steps = learn(faces, mean, options.steps, options.ridge)
    file = Path(face_layout.__file__).with_name("face_layout.npz")
    np.savez_compressed(file, mean=mean.astype(np.float32), steps=steps.astype(np.float16))
    distances = [
        np.linalg.norm(face_layout.find_layout(image).marks - marks, axis=1).mean()
        for image, marks in portraits(options.portraits, "test")
    ]
    print(f"{file.name}: {file.stat().st_size:,} bytes; on test {np.mean(distances):.2f}, median {np.median(distances):.2f}")


if __name__ == "__main__":
    main()
