import numpy as np
import pytest
from helpers import TINY, perturb, plain_recipe

from tfar.errors import CheckpointError
from tfar.evaluation.contestants import contestant
from tfar.export.saved_model import export_saved_model
from tfar.export.tflite import export_tflite
from tfar.models import build
from tfar.models.one_to_many import proposal_network
from tfar.recipes import Network, Phase, RegionAware, to_json
from tfar.restoration.restorer import Restorer
from tfar.training.region_aware import in_training, network_of
from tfar.training.runs import Run

NOISY = {"filters": 4, "branch_blocks": 1, "blocks": 1, "norm": "none", "residual": True}


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """A one-to-many network, and the folder with its file and exports."""
    folder = tmp_path_factory.mktemp("noisy")
    model = perturb(proposal_network(**NOISY), 3)
    model.save(folder / "noisy.keras")
    export_saved_model(model, folder / "served", output="image")
    export_tflite(folder / "served", folder / "noisy.tflite")
    return model, folder


def test_a_fused_network_gives_a_row_per_layer(fused_file, fused_model, noise):
    model = contestant(str(fused_file))
    image = noise(20, 17)
    restored = model.restore(image)
    assert tuple(restored) == model.names == ("mine base", "mine texture", "mine fused")
    for layer, given in zip(("base", "texture", "fused"), restored.values()):
        assert np.abs(np.int16(given) - Restorer(fused_model, layer)(image)).max() <= 1
    [(name, mask)] = model.masks(image).items()
    assert name == "mine fused" and mask.shape == (20, 17) and set(np.unique(mask)) <= {0, 255}


@pytest.mark.parametrize("name", ["noisy.keras", "served", "noisy.tflite"])
@pytest.mark.parametrize("gray", [False, True])
def test_files_and_exports_restore_as_the_restorer(noisy, noise, name, gray):
    model, folder = noisy
    image = noise(19, 26)[..., 0] if gray else noise(19, 26)
    given = contestant(str(folder / name))
    [(label, restored)] = given.restore(image).items()
    assert (label,) == given.names and label in ("noisy", "served", "noisy.tflite")
    assert np.abs(np.int16(restored) - Restorer(model)(image)).max() <= 1
    assert len(given.digest) == 64 and given.masks(image) == {}


def test_the_digest_follows_the_content(noisy, tmp_path):
    _, folder = noisy
    copy = tmp_path / "other.keras"
    copy.write_bytes((folder / "noisy.keras").read_bytes())
    assert contestant(str(copy)).digest == contestant(str(folder / "noisy.keras")).digest
    assert contestant(str(folder / "served")).digest != contestant(str(folder / "noisy.tflite")).digest


def test_an_unfinished_run_gives_its_best_epoch_so_far(tmp_path, noise):
    run = Run(tmp_path / "mine", plain_recipe(phases=(Phase(epochs=1, terms={"mse": 1.0}),), steps_per_epoch=1))
    run.train(verbose=0)
    given = contestant(str(run.folder))
    assert given.names == ("mine",)
    image = noise(20, 17)
    np.testing.assert_array_equal(given.restore(image)["mine"], Restorer(run.best_generator())(image))
    weights = run.folder / "best.weights.h5"
    perturb(run.best_generator(), 1).save_weights(weights)
    assert contestant(str(run.folder)).digest != given.digest
    weights.unlink()
    with pytest.raises(CheckpointError, match="best.weights.h5: no such weights file"):
        contestant(str(run.folder))


def test_a_run_that_went_on_is_not_what_it_was_when_it_first_stopped(tmp_path, single_model):
    run = Run(tmp_path, plain_recipe())  # of two epochs
    (tmp_path / "recipe.json").write_text(to_json(run.recipe))
    build(run.recipe.generator).save_weights(tmp_path / "best.weights.h5")
    single_model.save(tmp_path / "model.keras")
    assert not in_training(tmp_path)  # as presets are
    for epochs, unfinished in ((1, True), (2, False)):
        run.checkpoint(epochs).mkdir(parents=True)
        assert in_training(tmp_path) == unfinished
        found = network_of(tmp_path).count_params()
        assert found == (run.best_generator() if unfinished else single_model).count_params()
    run.checkpoint(2).rmdir()
    (tmp_path / "recipe.json").write_text("of an older version")
    assert network_of(tmp_path).count_params() == single_model.count_params()


def test_an_unfinished_run_of_two_networks_gives_the_fused_one(tmp_path, fused_model, noise):
    base, textured = (
        plain_recipe(generator=Network(builder=name, options=TINY)) for name in ("edge_cnn", "texture_generator")
    )
    for folder in ("base", "texture"):
        (tmp_path / "mine" / folder).mkdir(parents=True)
    (tmp_path / "mine" / "recipe.json").write_text(to_json(RegionAware(base=base, texture=textured)))
    for folder, name in (("base", "edge_cnn"), ("texture", "texture_generator")):
        fused_model.get_layer(name).save_weights(tmp_path / "mine" / folder / "best.weights.h5")
    given = contestant(str(tmp_path / "mine"))
    assert given.names == ("mine base", "mine texture", "mine fused")
    image = noise(20, 17)
    assert np.abs(np.int16(given.restore(image)["mine fused"]) - Restorer(fused_model)(image)).max() <= 1


@pytest.mark.parametrize("name", ["absent", "absent.tflite", "absent.keras"])
def test_what_is_not_there_is_refused(name):
    with pytest.raises(CheckpointError, match=name):
        contestant(name)


def test_a_broken_tflite_file_is_refused(tmp_path):
    (tmp_path / "broken.tflite").write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match="broken.tflite"):
        contestant(str(tmp_path / "broken.tflite"))
