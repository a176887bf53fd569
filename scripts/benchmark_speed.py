"""Measure how fast every preset restores by each engine, and what that costs in quality, on the same pixels.

    python scripts/benchmark_speed.py LIVE1 --limit 8 --size 384 --quality 10
    python scripts/benchmark_speed.py LIVE1 --preset general --threads 1 2

Of a region-aware preset with two networks both what takes them (`fused`) and what takes one (`base`) is measured. The
middle of every image is coded as a colour JPEG and restored, by each engine and number of threads in a process of its
own: `keras` (float32), `keras bfloat16`, `litert` (float32), `litert 8-bit` (weights in 8 bits), and the same
weights in other runtimes, in float32: `onnxruntime` and `openvino`, which compute the ONNX file that `tfar export`
writes, and `pytorch`, Keras on PyTorch through torch.compile. What these need is installed by `pip install "tfar[onnx]"
openvino torch`; one that is not there is left out. Columns:

- CPU-s/MP: processor seconds per megapixel, after a first image that is not counted; MP/s: by the clock, so measure on
  an idle machine;
- start: processor seconds of the first image with everything before it: imports, loading, tracing; the file that
  LiteRT reads lies in the cache already;
- peak: resident memory of the process;
- PSNR (RGB), and LPIPS where TFAR_WEIGHTS names a folder with `lpips_alex.npz`: the mean over the images; largest
  difference: from `keras`, in levels.

The floor of a preset is the number of its multiplications over the rate of a 3x3 convolution of 64 to 64 channels by
LiteRT in float32 on one core. Linux only.
"""

import argparse
import csv
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tfar import presets
from tfar.cli import exit_code
from tfar.commands.arguments import positive, quality
from tfar.errors import TfarError, last_line
from tfar.recipes import LAYERS
from tfar.storage import write_text

KINDS = ("keras", "keras bfloat16", "litert", "litert 8-bit", "onnxruntime", "openvino", "pytorch")
PACKAGES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "pytorch": "torch"}


def run(options):
    from tfar import backend

    backend.start()
    import keras

    from tfar.evaluation.protocols import middle
    from tfar.images.read import image_files, read_image
    from tfar.images.write import check_file
    from tfar.jpeg import compress
    from tfar.metrics.catalogue import choose, score
    from tfar.metrics.weights import perceptual_metrics

    weights = os.environ.get("TFAR_WEIGHTS")
    perceptual = perceptual_metrics(weights, ["lpips"]) if weights else {}
    metrics = choose(["psnr_rgb", *perceptual], perceptual)
    files = image_files(Path(options.folder))[: options.limit]
    if len(files) < 2:
        raise TfarError("at least two images are needed: the first of them is not counted")
    if options.csv:
        check_file(Path(options.csv))
    originals = [middle(read_image(file), options.size) for file in files]
    given = [compress(original, options.quality) for original in originals]
    megapixels = sum(image.shape[0] * image.shape[1] for image in given[1:]) / 1e6
    rate = convolution_rate()
    print(f"{len(given)} images at QF {options.quality}, {rate / 1e9:.1f} G multiplications per core and second\n")
    columns = ("preset", "engine", "threads", "CPU-s/MP", "MP/s", "start", "peak, MB", *metrics, "difference")
    print(f"| {' | '.join(columns)} |\n| --- | --- |{' ---: |' * (len(columns) - 2)}")
    rows: list[tuple] = []

    def add(*row):
        rows.append(row)
        print(f"| {' | '.join(map(str, row))} |", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npz"
        np.savez(file, *given)
        for preset in (row for name in options.preset or presets.names() for row in restorations(name)):
            model, layer = loaded(preset)
            network = keras.Model(model.inputs, model.output[layer])
            add(preset, "floor", 1, f"{multiplications(network) * 1e6 / rate:.2f}")
            expected = None
            for kind in filter(installed, options.engine):
                for threads in options.threads:
                    row, restored = measured(preset, kind, threads, file)
                    expected = restored if expected is None else expected
                    scores = [score(metrics, *pair) for pair in zip(originals, restored)]
                    add(
                        preset,
                        kind,
                        threads,
                        f"{row['cpu'] / megapixels:.2f}",
                        f"{megapixels / row['clock']:.2f}",
                        f"{row['start']:.2f}",
                        row["peak"] >> 20,
                        *(f"{np.mean([s[name] for s in scores]):.4f}" for name in metrics),
                        max(int(np.abs(np.int16(a) - b).max()) for a, b in zip(restored, expected)),
                    )
    if options.csv:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([columns, *rows])
        write_text(options.csv, text.getvalue())
    return 0


def installed(kind: str) -> bool:
    return kind not in PACKAGES or importlib.util.find_spec(PACKAGES[kind]) is not None


def restorations(preset: str) -> list[str]:
    """What a preset can give at different costs, by the names that `tfar evaluate` has for them."""
    from tfar.restoration.restorer import Restorer

    return [f"{preset} fused", f"{preset} base"] if Restorer(preset).layered else [preset]


def named(row: str) -> tuple[str, str]:
    """The preset and the layer, if any, of such a row."""
    preset, _, layer = row.rpartition(" ")
    return (preset, layer) if layer in LAYERS else (row, "")


def loaded(row: str):
    """The model of such a row, and the output of it that the row takes."""
    from tfar.models import main_output

    preset, layer = named(row)
    model = presets.load(preset)
    return model, layer or main_output(model)


def measured(preset: str, kind: str, threads: int, file: Path) -> tuple[dict, list[np.ndarray]]:
    """What a process of its own measures, and the images it restores."""
    target = file.with_name("restored.npz")
    if kind.startswith("litert"):
        from tfar.restoration.converted import network_file

        network_file(presets.model_file(named(preset)[0]), eight_bit=kind == "litert 8-bit")
    if kind in ("onnxruntime", "openvino"):
        export(preset, onnx_file(file, preset))
    command = [sys.executable, __file__, "--measure", preset, kind, str(threads), str(file), str(target)]
    backend = {"KERAS_BACKEND": "torch"} if kind == "pytorch" else {}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **backend})
    if done.returncode:
        raise TfarError(f"{preset}, {kind}: {last_line(done)}")
    with np.load(target, allow_pickle=False) as arrays:
        return json.loads(done.stdout), list(arrays.values())


def measure(preset: str, kind: str, threads: int, file: str, target: str):
    """What such a process does; nothing but the engine and NumPy is in its memory."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    with np.load(file, allow_pickle=False) as arrays:
        images = list(arrays.values())
    if kind == "onnxruntime":
        restorer = by_onnxruntime(onnx_file(Path(file), preset), threads)
    elif kind == "openvino":
        restorer = by_openvino(onnx_file(Path(file), preset), threads)
    elif kind == "pytorch":
        restorer = by_pytorch(preset, threads)
    else:
        restorer = by_tfar(preset, kind)
    restored = [restorer(images[0])]
    start, clock = time.process_time(), time.perf_counter()
    restored += [restorer(image) for image in images[1:]]
    row = {"start": start, "cpu": time.process_time() - start, "clock": time.perf_counter() - clock}
    row["peak"] = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
    np.savez(target, *restored)
    print(json.dumps(row))


def by_tfar(preset: str, kind: str):
    from tfar.restoration import engines
    from tfar.restoration.restorer import Restorer

    engines.eight_bit_weights = lambda: kind == "litert 8-bit"
    name, layer = named(preset)
    return Restorer(bfloat16(name) if kind == "keras bfloat16" else name, layer or None, engine=kind.split()[0])


def onnx_file(images: Path, preset: str) -> Path:
    name, layer = named(preset)
    return images.with_name(f"{presets.digest(presets.model_file(name))}-{layer}.onnx")


def export(preset: str, file: Path):
    """A preset as the ONNX file that ``tfar export`` writes, once."""
    from tfar.export.onnx import export_onnx
    from tfar.export.saved_model import export_saved_model

    if not file.exists():
        model, layer = loaded(preset)
        saved_model = file.with_suffix("")
        export_saved_model(model, saved_model, output=layer)
        export_onnx(saved_model, file)


def by_onnxruntime(file: Path, threads: int):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return lambda image: session.run(["restored"], requests(image, names))[0][0]


def by_openvino(file: Path, threads: int):
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.compile_model(file, "CPU", settings)
    names = [value.any_name for value in compiled.inputs]
    return lambda image: compiled(requests(image, names))["restored"][0]


def requests(image: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
    given = {"image": image[None]}
    if "noise" in names:
        shape = (1, *(-(-side // 2) for side in image.shape[:2]), 1)
        given["noise"] = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return given


def by_pytorch(preset: str, threads: int):
    """Keras on PyTorch, whose step torch.compile has compiled."""
    import torch

    from tfar.restoration import engines
    from tfar.restoration.restorer import Restorer

    torch.set_num_threads(threads)
    model, layer = loaded(preset)
    engines._network(model, layer).jit_compile = True  # kept by the engine
    return Restorer(model, None if layer == "image" else layer, engine="keras")


def bfloat16(preset: str):
    """A preset whose layers compute in bfloat16, where they are not told to stay in float32."""
    import keras

    model = presets.load(preset)
    policy = keras.DTypePolicy("mixed_bfloat16")

    def lower(layer):
        config = keras.saving.serialize_keras_object(layer)
        kept = layer.dtype_policy.name != "float32" or layer.name in ("image", "mask") or not layer.weights
        if not kept and not isinstance(layer, keras.Model):
            config["config"]["dtype"] = keras.saving.serialize_keras_object(policy)
        return keras.saving.deserialize_keras_object(config)

    lowered = keras.models.clone_model(model, clone_function=lower, recursive=True)
    lowered.set_weights(model.get_weights())
    return lowered


def multiplications(model) -> float:
    """Multiplications of a network's convolutions per pixel of the image."""
    import keras

    side, total = 64, 0

    def counted(layer, call):
        def wrapped(inputs, *arguments, **options):
            nonlocal total
            outputs = call(inputs, *arguments, **options)
            places = inputs if isinstance(layer, keras.layers.Conv2DTranspose) else outputs
            total += int(np.prod(places.shape[1:3])) * int(np.prod(layer.kernel.shape))
            return outputs

        return wrapped

    convolutions = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose)
    ]
    calls = {layer: layer.call for layer in convolutions}
    try:
        for layer, call in calls.items():
            layer.call = counted(layer, call)
        sides = {"noise": side // 2}
        inputs = [np.zeros((1, *[sides.get(i.name, side)] * 2, i.shape[-1]), np.float32) for i in model.inputs]
        model(inputs)
    finally:
        for layer, call in calls.items():
            layer.call = call
    return total / side**2


def convolution_rate() -> float:
    """Multiplications per second of this processor, on one core, in a 3x3 convolution of 64 to 64 channels."""
    import keras

    from tfar.export.tflite import convert
    from tfar.restoration.engines import LiteRTEngine

    image = keras.Input((None, None, 64), name="image")
    model = keras.Model(image, {"image": keras.layers.Conv2D(64, 3, padding="same")(image)})
    with tempfile.TemporaryDirectory() as folder:
        convert(model, Path(folder) / "model.tflite", eight_bit=False)
        engine = LiteRTEngine(Path(folder) / "model.tflite", "convolution", threads=1)
    given, times = np.ones((256, 256, 64), np.float32), []
    for _ in range(5):
        start = time.process_time()
        engine.run("image", given, None)
        times.append(time.process_time() - start)
    return given.shape[0] * given.shape[1] * 9 * 64 * 64 / min(times)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], sys.argv[3], int(sys.argv[4]), *sys.argv[5:])
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", help="originals")
    parser.add_argument("--preset", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--engine", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--threads", type=positive, nargs="+", default=[1], metavar="N")
    parser.add_argument("--quality", type=quality, default=10, metavar="QF")
    parser.add_argument("--limit", type=positive, metavar="N", help="take the first N images only, at least 2")
    parser.add_argument("--csv", metavar="FILE", help="write the rows there, too")
    parser.add_argument("--size", type=positive, default=512, metavar="N", help="side of what is taken of an image")
    sys.exit(exit_code(run, parser.parse_args()))
