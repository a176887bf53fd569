"""The command ``tfar``: argument parsing only."""

import argparse
import contextlib
import logging
import os
import sys
import time
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

from tfar import __version__  # noqa: E402
from tfar.errors import TfarError  # noqa: E402
from tfar.presets import DEFAULT  # noqa: E402
from tfar.recipes import LAYERS  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Run a command line and return its exit code: 0, or 2 after one line on stderr that says what was wrong."""
    options = _parser().parse_args(arguments)
    return exit_code(options.execute, options)


def exit_code(command, options: argparse.Namespace) -> int:
    """Run a command with its parsed options; what the user can mend becomes one line on stderr and the code 2."""
    warnings.showwarning = lambda message, *_, **__: print(f"tfar: warning: {message}", file=sys.stderr)
    try:
        return command(options)
    except TfarError as error:
        print(f"tfar: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 2
    except OSError as error:
        print(f"tfar: {error.filename or 'error'}: {error.strerror or error}", file=sys.stderr)
        return 2


@contextlib.contextmanager
def starting_backend():
    """While Keras and its backend start, keep the notes that TensorFlow prints then off stderr.

    They come before its log level is heeded and would drown the one line that the user should see.
    """
    sys.stderr.flush()
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


def start_backend():
    """Import Keras and its backend and let it find its devices.

    TensorFlow's own warnings are left out: it would warn of the graphs that an evaluation of many models compiles.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with starting_backend():
        import keras

        keras.ops.zeros(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tfar", description="Takes the damage of JPEG compression out of photographs.")
    parser.add_argument("--version", action="version", version=f"tfar {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("restore", help="restore a JPEG, or a folder of them")
    command.add_argument("input", metavar="IN", help="an image file, or a folder")
    command.add_argument("output", metavar="OUT", help="the file to write (PNG is lossless), or a folder")
    _add_preset(command)
    command.add_argument("--layer", choices=LAYERS, help="of a region-aware preset (default: fused)")
    command.add_argument("--candidates", type=_positive, metavar="K",
                         help="write K different restorations and a contact sheet (one-to-many presets)")
    command.add_argument("--seed", type=_not_negative, default=0, metavar="S",
                         help="of the noise of a one-to-many preset (default: %(default)s)")
    command.set_defaults(execute=_restore)

    command = commands.add_parser("train", help="train a system on photographs")
    command.add_argument("system", metavar="NAME", help="region-aware, ep-gan, v-gan, ep-gan-mse, argan, galteri-mse, "
                         "galteri-ssim, galteri-gan, galteri-gan-y, one-to-many or one-to-many-mse")
    add_training_arguments(command)
    command.set_defaults(execute=train)

    command = commands.add_parser("evaluate", help="score models on folders of originals")
    command.add_argument("folders", metavar="FOLDER", nargs="*", help="originals; JPEG files for the protocol real")
    command.add_argument("--preset", nargs="+", default=[DEFAULT], metavar="MODEL", dest="models",
                         help="presets, run folders, .keras files, SavedModel folders, .tflite files "
                         "(default: %(default)s)")
    command.add_argument("--quality", type=_quality, nargs="+", default=[10], metavar="QF", help="JPEG quality factors")
    command.add_argument("--protocol", nargs="+", choices=["gray", "color", "double", "real"],
                         default=["gray", "color"])
    command.add_argument("--metrics", nargs="+", metavar="NAME",
                         help="psnr_rgb, psnr, psnr_b, e_psnr, ssim, ssim_gaussian, ms_ssim, flip, lpips, lpips_vgg, "
                         "dists (default: PSNR, PSNR-B and SSIM, with --weights LPIPS too)")
    command.add_argument("--weights", metavar="FOLDER",
                         help="weights of LPIPS and DISTS, made by scripts/perceptual_weights.py")
    command.add_argument("--gain", metavar="NAME", help="add a table of what each model gains over the JPEG by a metric")
    command.add_argument("--limit", type=_positive, metavar="N", help="take the first N images of each folder only")
    command.add_argument("--no-cache", action="store_true", help="compute everything anew")
    command.add_argument("--out", metavar="FOLDER", help="write tables, figures and a report (HTML) there")
    command.add_argument("--pictures", type=_not_negative, default=6, metavar="N",
                         help="images to look at in the report, at most (default: %(default)s)")
    command.add_argument("--detections", nargs="+", metavar="LABEL=FILE",
                         help="instead: COCO results predicted on original, JPEG, restored ... images, for their mAP")
    command.add_argument("--annotations", metavar="FILE", help="with --detections: the COCO ground truth")
    command.set_defaults(execute=_evaluate)

    command = commands.add_parser("study", help="write a page for a blind comparison by people, or score its votes")
    command.add_argument("page", metavar="PAGE", nargs="?", help="the HTML file to write")
    command.add_argument("--original", metavar="FOLDER", help="the reference images")
    command.add_argument("--candidate", nargs="+", default=[], metavar="NAME=FOLDER",
                         help="images of the same names to be judged, such as JPEG=... and restored=...")
    command.add_argument("--seed", type=_not_negative, default=0, metavar="S", help="of the hidden names and the order")
    command.add_argument("--score", nargs="+", metavar="VOTES.csv", help="instead: mean opinion scores of these votes")
    command.add_argument("--key", metavar="KEY.json", help="with --score: the key file written beside the page")
    command.set_defaults(execute=_study)

    command = commands.add_parser("compare", help="picture of an original, its JPEG and what a preset makes of it")
    command.add_argument("original", metavar="ORIGINAL", help="an image file that is not damaged yet")
    command.add_argument("output", metavar="OUT", help="the picture to write")
    _add_preset(command)
    command.add_argument("--quality", type=_quality, default=10, metavar="QF", help="JPEG quality factor (default: 10)")
    command.set_defaults(execute=_compare)

    command = commands.add_parser("export", help="write a preset as SavedModel and TFLite")
    command.add_argument("output", metavar="FOLDER", help="gets saved_model/ and model.tflite")
    _add_preset(command)
    command.add_argument("--layer", choices=LAYERS, help="of a region-aware preset (default: fused)")
    command.set_defaults(execute=_export)

    command = commands.add_parser("presets", help="list the trained presets, or show the card of one")
    command.add_argument("name", nargs="?")
    command.set_defaults(execute=_presets)
    return parser


def add_training_arguments(parser: argparse.ArgumentParser):
    """The arguments that every training script shares."""
    parser.add_argument("--recipe", default="demo", help="demo (default), cpu or paper; gpu for region-aware")
    parser.add_argument("--data", metavar="SOURCE", help="a folder of photographs, demo, or tfds:NAME")
    parser.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", dest="assignments",
                        help="override recipe fields, such as data.patch=64 (region-aware: base.data.patch=64)")
    parser.add_argument("--precision", choices=["float32", "mixed_bfloat16", "mixed_float16"])
    parser.add_argument("--strategy", default="auto", help="auto (default), one, mirrored or multiworker")
    parser.add_argument("--run", metavar="FOLDER", help="the run folder (default: a new one in runs/)")
    parser.add_argument("--resume", metavar="FOLDER", help="go on with a run that was interrupted")
    parser.add_argument("--minutes", type=float, help="stop each training after the epoch in which this time passed")


def train(options: argparse.Namespace) -> int:
    """Run the training that ``options.system`` and the other training arguments describe."""
    with starting_backend():
        from tfar.training.distribution import choose_strategy

        strategy = choose_strategy(options.strategy)
    start_backend()
    from tfar import recipes
    from tfar.jobs import training_job
    from tfar.models import SYSTEMS
    from tfar.training.region_aware import RegionAwareRun
    from tfar.training.runs import Run

    if options.system not in SYSTEMS:
        raise TfarError(f"unknown system {options.system!r}; known: {', '.join(SYSTEMS)}")
    make, parts = (RegionAwareRun, ("base.", "texture.")) if options.system == "region-aware" else (Run, ("",))
    if options.resume:
        if options.assignments or options.data or options.precision or options.run:
            raise TfarError("--resume takes the run's own recipe, so no --set, --data, --precision or --run")
        run = make(options.resume)
    else:
        known = SYSTEMS[options.system]
        if options.recipe not in known:
            raise TfarError(f"unknown recipe {options.recipe!r}; known: {', '.join(known)}")
        both = [f"{part}data.source={options.data}" for part in parts if options.data]
        both += [f"{part}precision={options.precision}" for part in parts if options.precision]
        recipe = recipes.override(known[options.recipe], both + options.assignments)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        run = make(options.run or Path("runs") / f"{options.system}-{options.recipe}-{stamp}", recipe)
    training_job(run, strategy=strategy, minutes=options.minutes)
    return 0


def _restore(options) -> int:
    from tfar.restoration.files import plan, restore_files

    planned = plan(options.input, options.output, candidates=options.candidates)
    start_backend()
    from tfar.presets import load

    model = load(options.preset)
    restorer = _restorer(model, options)

    def restore(image):
        return [restorer(image)]

    if options.candidates:
        from tfar.jobs import candidates

        restore = candidates(model, options.candidates, options.seed)
    failures = 0
    targets = dict(planned)
    for source, error in restore_files(planned, restore):
        if error:
            failures += 1
            print(f"tfar: {error}", file=sys.stderr)
            continue
        for target in targets[source]:
            is_candidate = options.candidates and target != targets[source][-1]
            print(f"{source} -> {target}{_interval_note(source, target) if is_candidate else ''}")
    return 2 if failures else 0


def _interval_note(source: Path, target: Path) -> str:
    from tfar.jobs import consistency

    share = consistency(source, target)
    return "" if share is None else f"  ({share:.1%} of the DCT coefficients outside the JPEG's interval)"


def _evaluate(options) -> int:
    if options.detections:
        return _evaluate_detections(options)
    from tfar.data.sources import image_files

    if not options.folders:
        raise TfarError("evaluate needs a folder of originals, or --detections")
    for folder in options.folders:
        image_files(folder)
    start_backend()
    from tfar import jobs
    from tfar.evaluation import benchmark, tables
    from tfar.evaluation.contestants import contestant
    from tfar.evaluation.metrics import DEFAULT_METRICS, choose
    from tfar.evaluation.perceptual import perceptual_metrics
    from tfar.evaluation.results import means

    names = options.metrics or (*DEFAULT_METRICS, *(["lpips"] if options.weights else []))
    metrics = choose(names, perceptual_metrics(options.weights, names) if options.weights else None)
    if options.gain and options.gain not in metrics:
        raise TfarError(f"--gain {options.gain} is not among the metrics: {', '.join(metrics)}")
    contestants = [contestant(name) for name in options.models]
    rows, failures = benchmark.evaluate(
        contestants, options.folders, names=options.protocol, qualities=options.quality, metrics=metrics,
        limit=options.limit, cache=benchmark.Cache(None if options.no_cache else benchmark.cache_folder()))
    if rows:
        print(tables.markdown(means(rows)))
    if rows and options.gain:
        print(f"\n{tables.gains(rows, options.gain)}")
    if rows and options.out:
        files = jobs.evaluation_report(Path(options.out), rows, contestants, options.folders, pictures=options.pictures)
        print("", *files, sep="\n")
    for failure in failures:
        print(f"tfar: {failure.image}: {failure.problem}", file=sys.stderr)
    return 2 if failures else 0


def _evaluate_detections(options) -> int:
    from tfar.evaluation.detections import format_categories, format_table, mean_average_precision

    if not options.annotations:
        raise TfarError("--detections needs --annotations, the COCO ground truth")
    precisions = mean_average_precision(options.annotations, dict(map(_named, options.detections)))
    print(f"{format_table(precisions)}\n\n{format_categories(precisions)}")
    return 0


def _study(options) -> int:
    from tfar.evaluation import study

    if options.score:
        if not options.key:
            raise TfarError("--score needs --key, the file that was written beside the page")
        scores = study.score_votes(options.score, options.key)
        print(f"{study.format_table(scores)}\n\n{study.format_images(scores)}")
        return 0
    if not (options.page and options.original and options.candidate):
        raise TfarError("study needs PAGE, --original and --candidate, or --score")
    from tfar.jobs import study_pictures

    pictures = study_pictures(options.original, dict(map(_named, options.candidate)))
    key = study.write_study(options.page, pictures, seed=options.seed)
    print(f"{options.page}\n{key}  (keep it from the participants; --score needs it)")
    return 0


def _compare(options) -> int:
    from tfar.data.sources import read_image

    original = read_image(options.original)
    start_backend()
    from tfar.jobs import comparison
    from tfar.presets import load
    from tfar.restoration.files import write_image

    write_image(options.output, comparison(load(options.preset), original, options.quality))
    print(options.output)
    return 0


def _export(options) -> int:
    start_backend()
    from tfar.export.saved_model import export_saved_model
    from tfar.export.tflite import export_tflite
    from tfar.models import main_output
    from tfar.presets import load

    model, folder = load(options.preset), Path(options.output)
    output = options.layer or main_output(model)
    if output not in model.output:
        raise TfarError(f"{options.preset} is a single network and has no layer {output!r}")
    export_saved_model(model, folder / "saved_model", output=output)
    export_tflite(folder / "saved_model", folder / "model.tflite")
    print(f"{folder / 'saved_model'}\n{folder / 'model.tflite'}")
    return 0


def _presets(options) -> int:
    from tfar import presets

    print(presets.card(options.name) if options.name else "\n".join(presets.names()))
    return 0


def _add_preset(parser: argparse.ArgumentParser):
    parser.add_argument("--preset", default=DEFAULT,
                        help="a preset, a run folder or a .keras file (default: %(default)s)")


def _quality(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 100:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a JPEG quality factor from 1 to 100, got {text!r}")


def _named(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise TfarError(f"expected NAME=PATH, got {text!r}")
    return name, path


def _positive(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 1 up, got {text!r}")


def _not_negative(text: str) -> int:
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 0 up, got {text!r}")


def _restorer(model, options):
    from tfar.restoration.restorer import Restorer

    try:
        return Restorer(model, options.layer, seed=options.seed)
    except ValueError as error:
        raise TfarError(str(error)) from error
