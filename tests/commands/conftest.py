"""Running command lines in the process of the tests, and networks in files for them."""

import pytest
from helpers import TINY, perturb
from PIL import Image
from skimage import data

from tfar import cli
from tfar.commands import evaluate
from tfar.models.one_to_many import proposal_network
from tfar.models.region_aware import edge_cnn

PHOTO = data.astronaut()[:40, :33]


@pytest.fixture(scope="module")
def single_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("single") / "single.keras"
    perturb(edge_cnn(**TINY), 1).save(path)
    return path


@pytest.fixture(scope="module")
def luma_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("luma") / "luma.keras"
    perturb(edge_cnn(**TINY, channels=1), 1).save(path)
    return path


@pytest.fixture(scope="module")
def noise_model():
    return perturb(proposal_network(filters=4, branch_blocks=1, blocks=1, norm="none", residual=True), 3)


@pytest.fixture(scope="module")
def noise_file(noise_model, tmp_path_factory):
    """A network that takes noise."""
    path = tmp_path_factory.mktemp("noise") / "noise.keras"
    noise_model.save(path)
    return path


@pytest.fixture(autouse=True)
def no_scores_of_before(tmp_path, monkeypatch):
    """Scores are kept in a folder of the test; converted networks, which take long, stay where they are."""
    monkeypatch.setattr(evaluate, "cache_folder", lambda name: tmp_path / "cache" / name)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "in" / "photo.png"
    path.parent.mkdir()
    Image.fromarray(PHOTO).save(path)
    return path


@pytest.fixture
def run(capfd):
    """Run a command line; returns the exit code and the lines on stdout and stderr.

    Restoration is by Keras, so that no test waits for a network to be converted.
    """

    def run(*arguments):
        if arguments[0] == "restore" and "--engine" not in arguments:
            arguments = (*arguments, "--engine", "keras")
        capfd.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


@pytest.fixture
def refused(run):
    """Run a command line that must end with the code 2 and one line on stderr; returns that line."""

    def refused(*arguments):
        code, out, err = run(*arguments)
        assert (code, out, len(err)) == (2, [], 1), (code, out, err)
        assert err[0].startswith("tfar: ")
        return err[0]

    return refused
