"""A tiny network behind the stand-in for TF Serving."""

import pytest

from tfar import cli


@pytest.fixture(scope="session")
def served(fused_file, tmp_path_factory):
    """A folder of version folders; its SavedModel reads files of up to 2 megapixels."""
    folder = tmp_path_factory.mktemp("served")
    options = ["--format", "saved-model", "--version", "3", "--max-megapixels", "2"]
    assert cli.main(["export", str(folder), "--preset", str(fused_file), *options]) == 0
    return folder / "saved_model"


@pytest.fixture(scope="session")
def addresses(served):
    """Where the model is served: options of ``scripts/serve_client.py``, by the kind of API."""
    pytest.importorskip("tensorflow_serving", reason="needs tensorflow-serving-api")
    from serving_stand_in import serving

    # One at a time: TensorFlow has started with oneDNN here, with which requests at the same time crash it.
    with serving(served, at_once=1) as (port, rest_port):
        yield {"grpc": ["--grpc", f"localhost:{port}"], "rest": ["--rest", f"http://localhost:{rest_port}"]}
