"""Training the decoder: its inputs, losses, steps, resumption, and the command."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from safetensors.torch import load_file
from skimage.data import astronaut
from skimage.metrics import structural_similarity

from vcmbench.cli import commands
from vcmbench.codecs.edge.condition import condition
from vcmbench.codecs.edge.network import Decoder, stack
from vcmbench.codecs.edge.rasterise import rasterise
from vcmbench.codecs.edge.selection import choose
from vcmbench.codecs.edge.tracing import strokes_of
from vcmbench.config.training import load_training
from vcmbench.interfaces import Image, UsageError
from vcmbench.training.augmentation import form
from vcmbench.training.batches import Batches
from vcmbench.training.inputs import LAYERS, analyse, conditions, original, prepared_files
from vcmbench.training.loop import Silent, train
from vcmbench.training.losses import Discriminator, deceive_loss, gradient_difference, judge_loss, structural_difference
from vcmbench.training.perception import perceptual_loss
from vcmbench.training.recipe import Recipe
from vcmbench.training.state import State, export
from vcmbench.training.step import Step

FACE: Image = np.ascontiguousarray(astronaut()[0:160, 144:304])  # type: ignore[no-untyped-call]  # no hints

JOB = """
name: small
dataset: {kind: demo, limit: 2, size: 64}
validation: {kind: demo, limit: 1, size: 64}
forms: 2
steps: 4
batch: 2
checkpoint_every: 2
validate_every: 2
workers: 1
"""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small training job in a folder of its own, whose pictures are analysed by the first test that needs them."""
    folder = tmp_path_factory.mktemp("training")
    file = folder / "job.yaml"
    file.write_text(f"{JOB}out: {folder / 'out'}\n")
    return file


def recipe_of(job: Path, *overrides: str) -> Recipe:
    """The job's recipe with other values."""
    return load_training(job, overrides)[1]


def files_of(recipe: Recipe) -> list[list[Path]]:
    """The analysed pictures of the recipe."""
    return prepared_files(recipe.pictures, recipe.inputs, 1)


# ------------------------------------------------------------------------------------------------------------ inputs


def test_what_is_kept_is_what_the_decoder_will_be_told() -> None:
    """For every number of points the planes on disk give the conditions of a decoded stream, but for rounding to 8 bits."""
    height, width, _ = FACE.shape
    raster = rasterise(strokes_of(FACE), height, width)
    points = choose(FACE, raster, LAYERS[-1])
    planes = analyse(FACE)
    assert np.array_equal(np.rint(255 * original(planes)).transpose(1, 2, 0), FACE)
    for layer, count in enumerate(LAYERS):
        told = stack(condition(raster, points.first(count)))
        assert np.allclose(conditions(planes, layer), told, atol=0.502 / 255), count


def test_forms_of_a_picture_differ_and_are_repeatable(job: Path) -> None:
    """Each form is another picture, drawn from a seed, of the size that was asked for."""
    pictures = recipe_of(job).pictures
    row = next(row for batch in pictures.dataset.images() for row in batch.to_pylist())
    data = pictures.dataset.read(row["path"])
    box = (row["box_x"], row["box_y"], row["box_width"], row["box_height"])
    first, second, again = (form(data, box, pictures.preparation, np.random.default_rng(seed)) for seed in (1, 2, 1))
    assert first.shape == second.shape == (64, 64, 3)
    assert np.array_equal(first, again)
    assert np.abs(first.astype(int) - second).mean() > 2


def test_pictures_are_analysed_once(job: Path) -> None:
    """A second training finds the files; another size has files of its own."""
    recipe = recipe_of(job)
    files = files_of(recipe)
    assert [len(forms) for forms in files] == [2, 2]
    times = [file.stat().st_mtime_ns for forms in files for file in forms]
    assert files_of(recipe) == files
    assert [file.stat().st_mtime_ns for forms in files for file in forms] == times
    assert set(files_of(recipe_of(job, "dataset.size=96", "dataset.limit=1", "forms=1"))[0]).isdisjoint(files[0])


def test_pictures_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    """A damaged file costs itself; without any picture left the reason is said."""
    (tmp_path / "bad.png").write_bytes(b"no picture")
    job = tmp_path / "job.yaml"
    job.write_text(f"{JOB}out: {tmp_path}\n".replace("kind: demo, limit: 2", f"kind: folder, root: {tmp_path}"))
    with pytest.raises(UsageError, match="none of the pictures can be read"):
        files_of(recipe_of(job))


def test_a_step_always_has_the_same_batch(job: Path) -> None:
    """A resumed training sees what an uninterrupted one would have seen, and other steps see something else."""
    batches = Batches(files_of(recipe_of(job)), 3, seed=5)
    ahead = batches.ahead(7)
    for step in (7, 8):
        for loaded, drawn in zip(next(ahead), batches.at(step), strict=True):
            assert torch.equal(loaded, drawn)
    ahead.close()
    shown, wanted = batches.at(7)
    assert shown.shape == (3, 8, 64, 64)
    assert wanted.shape == (3, 3, 64, 64)
    assert wanted.min() >= 0
    assert wanted.max() <= 1
    assert not torch.equal(shown, batches.at(8)[0])


# ------------------------------------------------------------------------------------------------------------ losses


def test_the_gradient_difference_is_of_contours() -> None:
    """A constant offset costs nothing; one brighter row of H costs its two edges, 2 / (H − 1), in one of two directions."""
    picture = torch.rand(1, 3, 17, 20)
    brighter = picture.clone()
    brighter[:, :, 5] += 1
    assert gradient_difference(picture + 0.5, picture).item() == pytest.approx(0, abs=1e-6)
    assert gradient_difference(brighter, picture).item() == pytest.approx(2 / 16 / 2)


def test_the_structural_difference_is_that_of_scikit_image() -> None:
    """It is 1 − SSIM as scikit-image finds it with even windows, and 0 for the original."""
    picture = torch.from_numpy(FACE[None, :96, :80]).permute(0, 3, 1, 2).double() / 255
    noisy = picture + 0.1 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    planes = [each[0].permute(1, 2, 0).numpy() for each in (noisy, picture)]
    similarity = structural_similarity(*planes, channel_axis=2, data_range=1, use_sample_covariance=False)  # type: ignore[no-untyped-call]  # no hints
    expected = 1 - similarity
    assert structural_difference(noisy, picture).item() == pytest.approx(expected, abs=1e-9)
    assert structural_difference(picture, picture).item() == pytest.approx(0, abs=1e-9)


def test_the_perceptual_loss_sees_structure_and_has_a_gradient() -> None:
    """It is 0 for the original, larger for noise than for the same error as a constant, and can be descended."""
    if find_spec("resmem") is None:
        pytest.skip("resmem, whose ResNet the loss is made from, is not installed")
    loss = perceptual_loss()
    picture = torch.from_numpy(FACE[None, :128, :128]).permute(0, 3, 1, 2) / 255
    noise = 0.05 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(1)).sign()
    noisy = (picture + noise).requires_grad_()
    assert loss(picture, picture).item() == 0
    of_noise = loss(noisy, picture)
    assert of_noise > 1.2 * loss(picture + 0.05, picture)
    of_noise.backward()
    assert noisy.grad is not None
    assert loss((noisy - 0.002 * noisy.grad.sign()).detach(), picture) < of_noise


def test_the_discriminator_learns_to_tell() -> None:
    """A few steps suffice to score grey pictures lower than colourful ones, and only that deceives it less."""
    torch.manual_seed(0)
    judge = Discriminator()
    optimiser = torch.optim.Adam(judge.parameters(), 1e-3)
    real, made, strokes = torch.rand(4, 3, 64, 64), torch.full((4, 3, 64, 64), 0.5), torch.zeros(4, 1, 64, 64)
    for _ in range(15):
        optimiser.zero_grad()
        judge_loss(judge(real, strokes), judge(made, strokes)).backward()  # type: ignore[no-untyped-call]  # torch gives no types here
        optimiser.step()
    assert judge(real, strokes).mean() > judge(made, strokes).mean() + 0.5
    assert deceive_loss(judge(made, strokes)) > deceive_loss(judge(real, strokes))


# ------------------------------------------------------------------------------------------------------------- steps


def test_steps_bring_the_decoder_nearer(job: Path) -> None:
    """Repeated on the same pictures, the loss falls below what diffusion alone has."""
    recipe = recipe_of(job, "steps=100", "precision=fp32", "learning_rate=0.02")
    state = State(recipe, "cpu")
    step = Step(recipe, state, "cpu")
    batch = Batches(files_of(recipe), 2, seed=0).at(0)
    step(*batch)
    before = step.means()["l1"]
    for _ in range(38):
        step(*batch)
    step.means()
    step(*batch)
    assert step.means()["l1"] < 0.97 * before
    assert state.step == 40


def test_a_resumed_training_ends_with_the_same_weights(job: Path, tmp_path: Path) -> None:
    """Two steps, a checkpoint and two more give what four in a row give, discriminator and average included."""
    losses = ("losses.structural=0.1", "losses.adversarial=0.1", "losses.adversarial_from=1", "precision=fp32")
    whole = recipe_of(job, *losses)
    batches = Batches(files_of(whole), 2, seed=0)
    straight = State(whole, "cpu")
    step = Step(whole, straight, "cpu")
    for number in range(4):
        step(*batches.at(number))
        if number == 1:
            straight.save(tmp_path / "checkpoint.pt")
    resumed = State(recipe_of(job, *losses, "seed=9"), "cpu")
    resumed.load(tmp_path / "checkpoint.pt", "cpu")
    step = Step(whole, resumed, "cpu")
    for number in range(2, 4):
        step(*batches.at(number))
    for one, other in ((straight.average, resumed.average), (straight.judge, resumed.judge)):
        for name, tensor in one.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[name]), name


def test_a_damaged_checkpoint_is_named(job: Path, tmp_path: Path) -> None:
    """What is no checkpoint, and weights that are none, are errors that say what to do."""
    (tmp_path / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"checkpoint\.pt is not a checkpoint of this training; delete it"):
        State(recipe_of(job), "cpu").load(tmp_path / "checkpoint.pt", "cpu")
    with pytest.raises(UsageError, match=r"initial: .* does not hold weights"):
        State(recipe_of(job, f"initial={tmp_path / 'checkpoint.pt'}"), "cpu")


def test_training_begins_with_the_weights_it_is_given(job: Path, tmp_path: Path) -> None:
    """What was exported, in half precision, is what `initial` starts from."""
    torch.manual_seed(3)
    decoder = Decoder()
    export(decoder, tmp_path / "weights.safetensors")
    begun = State(recipe_of(job, f"initial={tmp_path / 'weights.safetensors'}"), "cpu").decoder
    assert torch.equal(begun.stem.weight, decoder.stem.weight.half().float())


# ------------------------------------------------------------------------------------------------------- the command


def invoke(job: Path, *arguments: str) -> Result:
    """Run `vcmbench train-decoder`."""
    return CliRunner().invoke(commands, ["train-decoder", str(job), "--device", "cpu", *arguments], catch_exceptions=False)


def test_the_command_trains_and_goes_on(job: Path, tmp_path: Path) -> None:
    """It leaves weights, a checkpoint and pictures; run again with more steps it does only those, and MLflow has curves."""
    out = job.parent / "out"
    assert f"weights: {out / 'decoder.safetensors'}" in invoke(job).output
    assert torch.load(out / "checkpoint.pt", weights_only=True)["step"] == 4
    assert load_file(out / "decoder.safetensors")["stem.weight"].dtype == torch.float16
    assert {file.name for file in (out / "validation").iterdir()} == {"2.png", "4.png"}
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    invoke(job, "--set", "steps=6", "--set", f"mlflow.tracking_uri={store}")
    assert torch.load(out / "checkpoint.pt", weights_only=True)["step"] == 6
    client = MlflowClient(store)
    [experiment] = client.search_experiments(filter_string="name = 'vcmbench'")
    [run] = client.search_runs([experiment.experiment_id])
    assert {"l1", "gradient", "psnr_rgb_15", "ssim_rgb_122"} <= set(run.data.metrics)
    assert [point.step for point in client.get_metric_history(run.info.run_id, "l1")] == [6]
    assert client.list_artifacts(run.info.run_id, "images")


def test_an_interrupted_training_keeps_its_steps(job: Path) -> None:
    """What stops it loses no step, though no checkpoint was due."""
    recipe = recipe_of(job, f"out={job.parent / 'interrupted'}", "validate_every=3", "checkpoint_every=100")

    class Interrupting(Silent):
        def curves(self, *_: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, "cpu", Interrupting())
    assert torch.load(recipe.checkpoint, weights_only=True)["step"] == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.size=100", r"dataset\.size must be a multiple of 32 from 64 to 1024"),
        ("validation.kind=nobody", r"validation\.kind: unknown data set 'nobody'"),
        ("losses.perceptal=1", r"unknown key losses\.perceptal \(did you mean losses\.perceptual\?\)"),
        ("steps=0", r"steps must be a whole number from 1, not 0"),
        ("codecs=[png]", r"unknown key codecs"),
    ],
)
def test_a_wrong_job_is_explained(job: Path, override: str, message: str) -> None:
    """The error names the file, the key and what it must be."""
    with pytest.raises(UsageError, match=f"{re.escape(str(job))}: {message}"):
        load_training(job, [override])
