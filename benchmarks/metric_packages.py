"""The packages that their authors publish, each called as its README shows: one image at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from torch import Tensor

from vcmbench.interfaces import Image
from vcmbench.torchvision_import import import_torchvision

Boxes: TypeAlias = npt.NDArray[np.float64]
"""The face box of each image: x, y, width and height in its pixels."""

CALLED = {
    "perceptual_l, _h": "torchvision.models.vgg16().features",
    "lpips_alex": 'lpips.LPIPS(net="alex")',
    "lpips_vgg": 'lpips.LPIPS(net="vgg")',
    "dists": "DISTS_pytorch.DISTS()",
    "fid": "pytorch_fid.inception.InceptionV3()",
    "landmarks": "FaceAlignment.get_landmarks_from_image(), .face_detector.detect_from_image()",
    "gender": 'DeepFace.analyze(actions=["gender"], detector_backend="skip")',
    "identity": 'DeepFace.represent(model_name="ArcFace", detector_backend="skip")',
    "memorability": "resmem.ResMem(pretrained=True)",
}
"""Package, by what it gives → what a loop calls for each image."""


@dataclass(frozen=True)
class Package:
    """How a loop uses one package: what it keeps of an original, and what it calls for each decoded image."""

    keep: Callable[[Image, int], Any]
    score: Callable[[Any, Image, Image, int], Mapping[str, float]]
    """What was kept, the original, the decoded image and its place → column → value."""


def load_packages(boxes: Boxes, device: str) -> dict[str, Package]:
    """Make every package ready as its README shows."""
    import_torchvision()
    return {
        "perceptual_l, _h": _vgg(device),
        "lpips_alex": _lpips("alex", device),
        "lpips_vgg": _lpips("vgg", device),
        "dists": _dists(device),
        "fid": _fid(device),
        "landmarks": _face_alignment(boxes, device),
        "gender": _gender(boxes),
        "identity": _identity(boxes),
        "memorability": _resmem(device),
    }


def _nothing(_image: Image, _place: int) -> None:
    """Keep nothing."""


def _unit(image: Image, device: str) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float().to(device) / 255


def _vgg(device: str) -> Package:
    models: Any = import_torchvision().models
    layers = models.vgg16(weights="IMAGENET1K_V1").features.eval().to(device)
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    def features(image: Image, _place: int = 0) -> tuple[Tensor, Tensor]:
        low = layers[:9]((_unit(image, device) - mean) / std)
        return low, layers[9:26](low)

    def score(kept: tuple[Tensor, Tensor], _original: Image, decoded: Image, _place: int) -> Mapping[str, float]:
        low, high = (float((a - b).square().mean()) for a, b in zip(kept, features(decoded), strict=True))
        return {"perceptual_l": low, "perceptual_h": high}

    return Package(features, score)


def _lpips(net: str, device: str) -> Package:
    import lpips  # noqa: PLC0415  # needs torchvision

    model = lpips.LPIPS(net=net, verbose=False).to(device)

    def score(_kept: None, original: Image, decoded: Image, _place: int) -> Mapping[str, float]:
        pair = (lpips.im2tensor(image).to(device) for image in (original, decoded))
        return {f"lpips_{net}": float(model(*pair))}

    return Package(_nothing, score)


def _dists(device: str) -> Package:
    from DISTS_pytorch import DISTS  # noqa: PLC0415  # needs torchvision

    model = DISTS().to(device)

    def score(_kept: None, original: Image, decoded: Image, _place: int) -> Mapping[str, float]:
        return {"dists": float(model(_unit(original, device), _unit(decoded, device)))}

    return Package(_nothing, score)


def _fid(device: str) -> Package:
    from pytorch_fid.inception import InceptionV3  # noqa: PLC0415  # needs torchvision

    model = InceptionV3().eval().to(device)

    def features(image: Image, _place: int = 0) -> npt.NDArray[np.float32]:
        return model(_unit(image, device))[0][0, :, 0, 0].cpu().numpy()  # type: ignore[no-any-return]  # a package without hints

    def score(_kept: Any, _original: Image, decoded: Image, _place: int) -> Mapping[str, float]:
        return {"inception (mean)": float(features(decoded).mean())}

    return Package(features, score)


def _face_alignment(boxes: Boxes, device: str) -> Package:
    import face_alignment  # noqa: PLC0415  # compiles functions

    kind = face_alignment.LandmarksType.TWO_D
    model = face_alignment.FaceAlignment(kind, flip_input=False, device=device, compile=False, face_detector="blazeface")

    def points(image: Image, place: int) -> npt.NDArray[np.float64]:
        x, y, width, height = boxes[place]
        (found,) = model.get_landmarks_from_image(image, detected_faces=[[x, y, x + width, y + height]])
        return found.astype(np.float64)  # type: ignore[no-any-return]  # likewise

    def keep(image: Image, place: int) -> npt.NDArray[np.float64]:
        model.face_detector.detect_from_image(image)
        return points(image, place)

    def score(kept: npt.NDArray[np.float64], _original: Image, decoded: Image, place: int) -> Mapping[str, float]:
        model.face_detector.detect_from_image(decoded)
        error = np.linalg.norm(points(decoded, place) - kept, axis=1).mean()
        width, height = np.ptp(kept, axis=0)
        eyes = np.linalg.norm(kept[36] - kept[45])
        return {"nme_box": error / np.sqrt(width * height), "nme_interocular": error / eyes}

    return Package(keep, score)


def _inside(image: Image, box: npt.NDArray[np.float64]) -> Image:
    """The pixels inside the face box."""
    x, y, width, height = box
    rows, columns = (slice(max(0, round(low)), max(0, round(low + side))) for low, side in ((y, height), (x, width)))
    return image[rows, columns]


def _gender(boxes: Boxes) -> Package:
    from deepface import DeepFace  # noqa: PLC0415  # takes seconds

    def score(_kept: None, _original: Image, decoded: Image, place: int) -> Mapping[str, float]:
        face = _inside(decoded, boxes[place])[..., ::-1]
        options = {"detector_backend": "skip", "enforce_detection": False, "silent": True}
        (found,) = DeepFace.analyze(face, actions=["gender"], **options)
        return {"gender_p_woman": found["gender"]["Woman"] / 100}

    def keep(image: Image, place: int) -> None:
        score(None, image, image, place)

    return Package(keep, score)


def _identity(boxes: Boxes) -> Package:
    from deepface import DeepFace  # noqa: PLC0415  # takes seconds

    def embed(image: Image, place: int) -> npt.NDArray[np.float64]:
        face = _inside(image, boxes[place])[..., ::-1]
        (found,) = DeepFace.represent(face, model_name="ArcFace", detector_backend="skip", enforce_detection=False)
        return np.array(found["embedding"])

    def score(kept: npt.NDArray[np.float64], _original: Image, decoded: Image, place: int) -> Mapping[str, float]:
        found = embed(decoded, place)
        return {"identity_similarity": float(kept @ found / np.linalg.norm(kept) / np.linalg.norm(found))}

    return Package(embed, score)


def _resmem(device: str) -> Package:
    import resmem  # noqa: PLC0415  # needs torchvision

    model = resmem.ResMem(pretrained=True).eval().to(device)

    def predict(image: Image, _place: int = 0) -> float:
        return float(model(resmem.transformer(PIL.Image.fromarray(image)).view(-1, 3, 227, 227).to(device)))

    def score(_kept: float, _original: Image, decoded: Image, _place: int) -> Mapping[str, float]:
        return {"memorability": predict(decoded)}

    return Package(predict, score)
