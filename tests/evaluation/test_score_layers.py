from skimage import data

from tfar.evaluation.benchmark import score_layers

PHOTO = data.astronaut()[:40, :33]


def test_scores_of_a_single_network_have_one_row_beside_the_jpeg(single_model):
    rows = score_layers(single_model, [("a", PHOTO), ("b", 255 - PHOTO)], qualities=[10, 30], names=("color",))
    assert [(row.protocol, row.quality, row.model, row.image) for row in rows] == [
        ("color", quality, model, image) for quality in (10, 30) for image in "ab" for model in ("JPEG", "restored")
    ]
