"""The files of docs/serving: what TF Serving, Docker Compose and Kubernetes read. None of them was run here."""

import pytest
import serve_client
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from helpers import ROOT

from tfar.export.saved_model import MEGAPIXELS

FOLDER = ROOT / "docs" / "serving"
BATCHING = {  # fields of BatchingParameters in TF Serving's session_bundle_config.proto, of which Python has no module
    "max_batch_size": "Int64Value",
    "batch_timeout_micros": "Int64Value",
    "max_enqueued_batches": "Int64Value",
    "num_batch_threads": "Int64Value",
    "max_execution_batch_size": "Int64Value",
    "enable_large_batch_splitting": "BoolValue",
}


def batching_parameters():
    """An empty message with the fields of :data:`BATCHING`, and ``pad_variable_length_inputs``."""
    file = descriptor_pb2.FileDescriptorProto(name="batching.proto", package="tfar.tests", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    message = file.message_type.add(name="BatchingParameters")
    label = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
    for number, (name, kind) in enumerate(BATCHING.items(), start=1):
        kind_of = {"type": descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE, "type_name": f".google.protobuf.{kind}"}
        message.field.add(name=name, number=number, label=label, **kind_of)
    boolean = descriptor_pb2.FieldDescriptorProto.TYPE_BOOL
    message.field.add(name="pad_variable_length_inputs", number=99, label=label, type=boolean)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tfar.tests.BatchingParameters"))()


def test_models_config():
    apis = pytest.importorskip(
        "tensorflow_serving.config.model_server_config_pb2", reason="needs tensorflow-serving-api"
    )
    found = text_format.Parse((FOLDER / "models.config").read_text(), apis.ModelServerConfig())
    [config] = found.model_config_list.config
    assert (config.name, config.base_path, config.model_platform) == ("tfar", "/models/tfar", "tensorflow")
    assert config.model_version_policy.latest.num_versions == 1
    comment = "model_version_policy { specific { versions: 1 } }"
    assert comment in (FOLDER / "models.config").read_text()
    other = text_format.Parse(comment, apis.ModelConfig())
    assert list(other.model_version_policy.specific.versions) == [1]


def test_images_of_several_sizes_never_share_a_batch():
    found = text_format.Parse((FOLDER / "batching.config").read_text(), batching_parameters())
    assert found.max_execution_batch_size.value == 1
    assert found.enable_large_batch_splitting.value
    assert not found.pad_variable_length_inputs
    assert found.max_enqueued_batches.value >= found.max_batch_size.value > 1
    help = " ".join(serve_client.arguments().format_help().split())
    assert f"docs/serving/batching.config allows {found.max_batch_size.value}" in help


def test_compose():
    yaml = pytest.importorskip("yaml", reason="needs pyyaml")
    [service] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"].values()
    mounted = {volume.split(":")[-2]: volume for volume in service["volumes"]}
    for name in ("models.config", "batching.config"):
        assert mounted[f"/config/{name}"] == f"./{name}:/config/{name}:ro"
        assert any(argument.endswith(f"_file=/config/{name}") for argument in service["command"])
    assert mounted["/models/tfar"].startswith("${TFAR_SERVED:?")
    assert "--enable_batching" in service["command"]
    assert service["ports"] == ["8500:8500", "8501:8501"]
    assert service["environment"] == {"TF_ENABLE_ONEDNN_OPTS": "0"}


def test_the_memory_that_docs_deploy_asks_for():
    yaml = pytest.importorskip("yaml", reason="needs pyyaml")
    batching = text_format.Parse((FOLDER / "batching.config").read_text(), batching_parameters())
    needed = 0.9 + 0.6 * MEGAPIXELS * batching.num_batch_threads.value  # GB
    [service] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"].values()
    deployment, _ = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    limit = container["resources"]["limits"]["memory"]
    assert limit == service["mem_limit"].upper() + "i"
    requested = container["resources"]["requests"]["memory"]
    assert int(limit.removesuffix("Gi")) >= int(requested.removesuffix("Gi")) > needed


def test_the_image_and_its_deployment():
    yaml = pytest.importorskip("yaml", reason="needs pyyaml")
    deployment, service = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels == deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    assert {port["targetPort"] for port in service["spec"]["ports"]} == set(ports)
    dockerfile = (FOLDER / "Dockerfile").read_text()
    assert container["image"] in dockerfile
    assert "ENV TF_ENABLE_ONEDNN_OPTS=0\n" in dockerfile
    [command] = [argument for argument in dockerfile.replace("\\\n", " ").splitlines() if argument.startswith("CMD ")]
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]["tfar"]["command"]
    assert yaml.safe_load(command.removeprefix("CMD ")) == compose
