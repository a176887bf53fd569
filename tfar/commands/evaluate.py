"""Score models on folders of originals."""

import argparse
import itertools
from pathlib import Path

from tfar import backend, presets
from tfar.commands.arguments import Distinct, named, named_model, not_negative, positive, quality, refuse, share
from tfar.errors import TfarError
from tfar.storage import cache_folder
from tfar.terminal import print_error, print_tables

NOT_TAKEN = {  # by mode: the arguments that it has no use for
    "with --detections": "folders preset quality protocol metrics weights gain candidates limit no_cache pictures",
    "with --candidates": "gain no_cache out pictures annotations threshold",
    "without --detections": "annotations threshold",
}


def add_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("folders", metavar="FOLDER", nargs="*", help="originals; JPEG files for the protocol real")
    parser.add_argument(
        "--preset",
        nargs="+",
        default=[presets.DEFAULT],
        metavar="MODEL",
        help="presets, run folders, .keras files, SavedModel folders (these are code, load none from strangers), "
        ".tflite files; NAME=PATH to call one NAME (default: %(default)s)",
    )
    parser.add_argument(
        "--quality",
        type=quality,
        nargs="+",
        action=Distinct,
        default=[10],
        metavar="QF",
        help="JPEG quality factors",
    )
    parser.add_argument(
        "--protocol",
        nargs="+",
        action=Distinct,
        choices=["gray", "color", "color-444", "double", "real", "webp", "jpeg2000", "avif", "heic"],
        default=["gray", "color"],
        help="how images are coded: as JPEG (color: chroma at half resolution), or by another codec at the size of "
        "the JPEG (default: gray color)",
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        metavar="NAME",
        help="psnr_rgb, psnr, psnr_b, e_psnr, ssim, ssim_gaussian, ms_ssim, flip, lpips, lpips_vgg, "
        "dists (default: PSNR, PSNR-B and SSIM, with --weights LPIPS too)",
    )
    parser.add_argument(
        "--weights", metavar="FOLDER", help="weights of LPIPS and DISTS, made by scripts/perceptual_weights.py"
    )
    parser.add_argument("--gain", metavar="NAME", help="add a table of what each model gains over the JPEG by a metric")
    parser.add_argument(
        "--candidates",
        type=positive,
        metavar="K",
        help="instead: K restorations of each image by one-to-many models; the mean, the best and the worst of them, "
        "how far they are apart, and what share of their DCT coefficients is outside the JPEG's intervals",
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="take the first N images of each folder only")
    parser.add_argument("--no-cache", action="store_true", help="compute everything anew")
    parser.add_argument("--out", metavar="FOLDER", help="write tables, figures and a report (HTML) there")
    parser.add_argument(
        "--pictures",
        type=not_negative,
        default=6,
        metavar="N",
        help="images to look at in the report, at most (default: %(default)s)",
    )
    parser.add_argument(
        "--detections",
        nargs="+",
        metavar="FOLDER",
        help="instead: the mAP of boxes that a detector found in the original, in JPEGs and in restored images: a "
        "folder of COCO results as scripts/detect_objects.py writes it, or LABEL=FILE, such as general@20=b.json",
    )
    parser.add_argument(
        "--annotations",
        metavar="PATH",
        help="with --detections: VOC2007/Annotations, VOC2007/ImageSets/Main/test.txt or a COCO file (default: what "
        "was found in the originals is the truth)",
    )
    parser.add_argument(
        "--threshold",
        type=share,
        default=0.5,
        metavar="SCORE",
        help="with --detections and no annotations: the score from which on a box of an original is an object "
        "(default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    if options.detections:
        mode = "with --detections"
    else:
        mode = "with --candidates" if options.candidates else "without --detections"
    refuse(NOT_TAKEN[mode], mode, options, add_arguments)
    if options.out:
        _check_out(options)
    if options.detections:
        return _evaluate_detections(options)
    if options.candidates:
        return _evaluate_candidates(options)
    rows, failures, contestants = scored(options)
    from tfar.evaluation.results import gains, means
    from tfar.reports import tables
    from tfar.reports.evaluation import evaluation_report

    if rows:
        print_tables(tables.markdown(means(rows)))
    if rows and options.gain:
        print_tables(f"\n{tables.gains(gains(rows, options.gain))}")
    if rows and options.out:
        files = evaluation_report(Path(options.out), rows, contestants, options.folders, pictures=options.pictures)
        print("", *files, sep="\n")
    return _exit_code(failures)


def _exit_code(failures) -> int:
    """That of the command, after a line on stderr for each image that failed."""
    for failure in failures:
        print_error(f"tfar: {failure.image}: {failure.problem}")
    return 2 if failures else 0


def _check_out(options):
    """Refuse a folder that cannot be made, and one among the originals, where its figures would be scored next time."""
    from tfar.images.write import check_target

    out = Path(options.out)
    check_target(out / "report.html")
    for folder in options.folders:
        if out.resolve().is_relative_to(Path(folder).resolve()):
            raise TfarError(f"--out {out} lies in {folder}, of which all images are scored")


def scored(options: argparse.Namespace) -> tuple[list, list, list]:
    """The rows, the failures and the contestants of the evaluation that the command's arguments ask for."""
    metrics = _metrics(options)
    from tfar.evaluation import benchmark
    from tfar.evaluation.contestants import contestant

    contestants = [contestant(path, name) for name, path in map(named_model, options.preset)]
    rows, failures = benchmark.evaluate(
        contestants,
        options.folders,
        names=options.protocol,
        qualities=options.quality,
        metrics=metrics,
        limit=options.limit,
        cache=benchmark.Cache(None if options.no_cache else cache_folder("scores")),
    )
    return rows, failures, contestants


def _metrics(options):
    """The metrics that are asked for; whatever can be wrong with folders and names is found first."""
    from tfar.images.read import image_files

    if not options.folders:
        raise TfarError("evaluate needs a folder of originals, or --detections")
    for folder in options.folders:
        image_files(folder)
    backend.start()
    from tfar.metrics.catalogue import DEFAULT_METRICS, choose
    from tfar.metrics.weights import perceptual_metrics

    names = options.metrics or (
        *(["psnr"] if options.candidates else DEFAULT_METRICS),
        *(["lpips"] if options.weights else []),
    )
    metrics = choose(names, perceptual_metrics(options.weights, names) if options.weights else None)
    if options.gain and options.protocol == ["real"]:
        raise TfarError("--gain needs originals, which the protocol real has not")
    if options.gain and options.gain not in metrics:
        raise TfarError(f"--gain {options.gain} is not among the metrics: {', '.join(metrics)}")
    return metrics


def _evaluate_candidates(options) -> int:
    metrics = _metrics(options)
    from tfar.evaluation.benchmark import dataset
    from tfar.evaluation.candidates import score_folder
    from tfar.evaluation.contestants import check_names
    from tfar.reports import tables
    from tfar.restoration.restorer import candidate_restorers
    from tfar.training.region_aware import network_of

    if "real" in options.protocol:
        raise TfarError("--candidates needs originals, which the protocol real has not")
    if options.candidates < 2:
        raise TfarError(f"at least two candidates are needed, got {options.candidates}")
    seeds = range(options.candidates)
    given = [(name or presets.title(path), path) for name, path in map(named_model, options.preset)]
    check_names([name for name, _ in given])
    models = {name: candidate_restorers(network_of(path), seeds) for name, path in given}
    texts, failures = [], []
    for folder, protocol, factor in itertools.product(options.folders, options.protocol, options.quality):
        found, failed = score_folder(models, folder, protocol, factor, metrics, limit=options.limit)
        failures += failed
        if not found:
            continue
        title = f"{dataset(folder).name}, {protocol}, QF {factor}, {options.candidates} candidates"
        texts.append(f"**{title}**\n\n{tables.candidates(found)}")
    if texts:
        print_tables("\n\n".join(texts))
    return _exit_code(failures)


def _evaluate_detections(options) -> int:
    from tfar.evaluation import published
    from tfar.evaluation.detections import mean_average_precision
    from tfar.reports.detections import detection_report, markdown

    files: dict[str, str | Path] = {}
    for text in options.detections:
        found = _results_below(Path(text)) if Path(text).is_dir() else dict([named(text)])
        if twice := files.keys() & found.keys():
            raise TfarError(f"results are given twice: {', '.join(sorted(twice))}")
        files |= found
    precisions = mean_average_precision(options.annotations, files, threshold=options.threshold)
    quoted = published.detections() if options.annotations else []
    print_tables(markdown(precisions, quoted))
    if options.out:
        print("", *detection_report(options.out, precisions, quoted), sep="\n")
    return 0


def _results_below(folder: Path) -> dict[str, Path]:
    files = {file.stem: file for file in sorted(folder.glob("*.json"))}
    if not files:
        raise TfarError(f"{folder}: no results of a detector (JSON files)")
    return files
