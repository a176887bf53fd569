import dataclasses
import json

import pytest
from helpers import ROOT

from tfar import recipes
from tfar.errors import RecipeError
from tfar.models import SYSTEMS
from tfar.models.region_aware import RECIPES
from tfar.recipes import Features, Mask, Network, Optimizer, Phase, Recipe, RegionAware

RECIPE = Recipe(
    generator=Network(builder="edge_cnn", options={"blocks": 2, "norm": "none"}),
    features=Features(),
    phases=(Phase(epochs=3, terms={"mse": 1.0}), Phase(epochs=4, terms={"mse": 1.0, "edge": 0.5})),
)


def edited(path: str, edit) -> str:
    """RECIPE as JSON text after ``edit(parent, name)`` of the field at ``path``."""
    node = tree = json.loads(recipes.to_json(RECIPE))
    *parents, last = path.split("/")
    for name in parents:
        node = node[int(name) if isinstance(node, list) else name]
    edit(node, last)
    return json.dumps(tree)


def changed(path: str, value) -> str:
    return edited(path, lambda parent, name: parent.update({name: value}))


def without(path: str) -> str:
    return edited(path, lambda parent, name: parent.pop(name))


@pytest.mark.parametrize("name", RECIPES)
def test_json_round_trip(name):
    recipe = RECIPES[name]
    assert recipes.from_json(RegionAware, recipes.to_json(recipe)) == recipe
    assert recipes.from_json(Recipe, recipes.to_json(recipe.texture)) == recipe.texture


def test_json_fields_left_out_take_their_defaults():
    text = '{"generator": {"builder": "edge_cnn"}, "phases": [{"epochs": 2, "terms": {"mse": 1}}]}'
    expected = Recipe(generator=Network(builder="edge_cnn"), phases=(Phase(epochs=2, terms={"mse": 1.0}),))
    assert recipes.from_json(Recipe, text) == expected


def test_epochs_are_those_of_all_phases():
    assert RECIPE.epochs == 7


def test_recipes_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RECIPE.seed = 1


@pytest.mark.parametrize(
    "path", ["sede", "generator/bilder", "data/pach", "features/netwrk", "optimizer/beta", "phases/1/epoch"]
)
def test_an_unknown_field_is_named(path):
    with pytest.raises(RecipeError, match=f"has no field '{path.split('/')[-1]}'"):
        recipes.from_json(Recipe, changed(path, 1))


@pytest.mark.parametrize("path", ["generator", "phases", "generator/builder", "phases/0/epochs", "phases/1/terms"])
def test_a_missing_field_is_named(path):
    with pytest.raises(RecipeError, match=f"lacks the field '{path.split('/')[-1]}'"):
        recipes.from_json(Recipe, without(path))


@pytest.mark.parametrize("points", [[[1.0, 0.5]], [[1.0, 0.5], [1.0, 1.0]], [[1.0, 0.5], [2.0, 1.5]]])
def test_points_of_the_mask_that_are_none(points):
    recipe = json.loads(recipes.to_json(RECIPES["general"]))
    recipe["mask"]["damage"] = points
    with pytest.raises(RecipeError, match=r"^recipe\.mask\.damage.* must be"):
        recipes.from_json(RegionAware, json.dumps(recipe))


@pytest.mark.parametrize(
    "path, value",
    [
        ("generator", "edge_cnn"),
        ("generator/builder", 3),
        ("generator/options", [1]),
        ("discriminator", "srgan"),
        ("data/source", None),
        ("data/validation", "0.1"),
        ("data/quality", 10),
        ("data/quality", [10]),
        ("data/quality", [10, 20, 30]),
        ("data/quality", [10, "20"]),
        ("data/patch", 48.0),
        ("data/patch", True),
        ("data/augment", 1),
        ("data/aligned", True),
        ("data/aligned", "0.5"),
        ("label_smoothing", True),
        ("features/texture", "block1_conv1"),
        ("features/texture", ["block1_conv1", 2]),
        ("optimizer/clip_norm", "1"),
        ("optimizer/average", True),
        ("phases", {}),
        ("phases/0/terms", ["mse"]),
        ("phases/0/terms", {"mse": "1"}),
        ("phases/0/learning_rate", False),
        ("steps_per_epoch", "many"),
        ("seed", 0.5),
    ],
)
def test_a_value_of_the_wrong_type_is_named(path, value):
    dotted = path.replace("/", r"\.")
    with pytest.raises(RecipeError, match=rf"^recipe\.{dotted}(\.\S+)?(: must|: Tuple should| lacks)"):
        recipes.from_json(Recipe, changed(path, value))


@pytest.mark.parametrize(
    "path, value",
    [
        ("data/quality", [0, 10]),
        ("data/quality", [20, 10]),
        ("data/quality", [10, 101]),
        ("data/validation", 1.0),
        ("data/validation", -0.1),
        ("data/gray", 1.5),
        ("data/gray", -0.5),
        ("data/aligned", 1.01),
        ("data/aligned", -0.5),
        ("data/aligned", float("nan")),
        ("label_smoothing", 0.5),
        ("label_smoothing", -0.1),
        ("data/subsampling", "4:1:1"),
        ("data/subsampling", {"4:2:0": 1, "4:1:1": 1}),
        ("data/tables", "jpegli"),
        ("data/quality_law", "normal"),
        ("data/double", 1.5),
        ("optimizer/kind", "sgd"),
        ("phases/0/discriminator_rate", 0.0),
        ("data/patch", 0),
        ("data/batch", 0),
        ("data/patches_per_image", 0),
        ("phases", []),
        ("phases/0/epochs", 0),
        ("phases/1/terms", {}),
        ("phases/0/decay", "linear"),
        ("phases/0/learning_rate", 0.0),
        ("phases/0/learning_rate", float("nan")),
        ("phases/0/warmup", -1),
        ("steps_per_epoch", 0),
        ("precision", "float64"),
        ("seed", -1),
    ],
)
def test_a_bad_value_is_named(path, value):
    place = "data" if value == [20, 10] else path  # what two values together are wrong with is their parent's
    dotted = place.replace("/", r"\.")
    with pytest.raises(RecipeError, match=rf"^recipe\.{dotted}(\.\S+)?: .*must .*, got"):
        recipes.from_json(Recipe, changed(path, value))


def test_all_faults_are_named_at_once_in_one_line():
    faulty = json.loads(changed("data/gray", 2)) | {"sede": 1}
    faulty["phases"][1]["epochs"] = 0
    with pytest.raises(RecipeError) as caught:
        recipes.from_json(Recipe, json.dumps(faulty))
    assert str(caught.value).split("; ") == [
        "recipe.data.gray: must be less than or equal to 1, got 2",
        "recipe.phases.1.epochs: must be greater than 0, got 0",
        "recipe has no field 'sede'",
    ]


def test_the_schema_for_editors_is_current():
    assert (ROOT / "docs" / "recipe.schema.json").read_text() == recipes.schema()


def test_the_factor_of_quality_100_has_no_logarithm():
    data = json.loads(recipes.to_json(RECIPE))["data"] | {"quality": [10, 100], "quality_law": "log-uniform"}
    with pytest.raises(RecipeError, match="^recipe.data: quality must end below 100"):
        recipes.from_json(Recipe, changed("data", data))


@pytest.mark.parametrize("shares", [{}, {"4:2:0": 0.0}, {"4:2:0": 1.0, "4:4:4": -0.5}])
def test_shares_that_cannot_be_drawn_are_refused(shares):
    with pytest.raises(RecipeError, match="^recipe.data.subsampling: must have|must be greater"):
        recipes.from_json(Recipe, changed("data/subsampling", shares))


def test_one_name_stands_for_all_of_the_shares_as_in_earlier_recipes():
    recipe = recipes.from_json(Recipe, changed("data/subsampling", "4:4:4"))
    assert recipe.data.subsampling == {"4:4:4": 1.0}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"learning_rate": 1e-5}, True),
        ({"epochs": 7, "learning_rate": 1e-5, "discriminator_rate": 1e-6}, True),
        ({}, True),
        ({"terms": {"mse": 1.0, "edge": 1.0}}, False),
        ({"decay": "cosine"}, False),
        ({"warmup": 3}, False),
    ],
    ids=str,
)
def test_a_phase_continues_one_of_other_constant_rates(changes, expected):
    phase = Phase(epochs=3, terms={"mse": 1.0})
    assert dataclasses.replace(phase, **changes).continues(phase) is expected
    decaying = dataclasses.replace(phase, decay="cosine")
    assert not decaying.continues(decaying)


def test_only_the_paper_with_flips_and_turns_has_them():
    """Galteri et al., Section 4.1: "with flipping and rotation data augmentation"; no other text has such words."""
    for system, kinds in SYSTEMS.items():
        paper = kinds["paper"]
        parts = [paper.base, paper.texture] if isinstance(paper, RegionAware) else [paper]
        assert {part.data.augment for part in parts} == {system.startswith("galteri")}, system


def test_only_terms_of_the_phase_can_fade():
    with pytest.raises(RecipeError, match="^recipe.phases.0: fading names terms that the phase does not have: texture"):
        recipes.from_json(Recipe, changed("phases/0/fading", ["texture"]))


@pytest.mark.parametrize(
    "text, message",
    [("{", "not valid JSON"), ("", "not valid JSON"), ("[]", "must be an object"), ("null", "must be an object")],
)
def test_text_that_is_no_recipe_is_refused(text, message):
    with pytest.raises(RecipeError, match=message):
        recipes.from_json(Recipe, text)


def test_a_whole_number_may_stand_for_a_float():
    recipe = recipes.from_json(Recipe, changed("data/gray", 1))
    assert recipe.data.gray == 1.0 and isinstance(recipe.data.gray, float)


@pytest.mark.parametrize(
    "assignment, value",
    [
        ("seed=7", lambda r: r.seed == 7),
        ("data.patch=64", lambda r: r.data.patch == 64),
        ("data.source=/photos/a=b", lambda r: r.data.source == "/photos/a=b"),
        ("data.quality=[5, 40]", lambda r: r.data.quality == (5, 40)),
        ("data.aligned=1", lambda r: r.data.aligned == 1.0 and isinstance(r.data.aligned, float)),
        ("data.aligned=0.25", lambda r: r.data.aligned == 0.25),
        ("label_smoothing=0.1", lambda r: r.label_smoothing == 0.1),
        ("data.quality.1=40", lambda r: r.data.quality == (10, 40)),
        ("data.augment=false", lambda r: r.data.augment is False),
        ("optimizer.clip_norm=1", lambda r: r.optimizer.clip_norm == 1.0),
        ("features=null", lambda r: r.features is None),
        ("features.texture.2=block4_conv1", lambda r: r.features.texture[1:] == ("block2_conv1", "block4_conv1")),
        ('discriminator={"builder": "d"}', lambda r: r.discriminator == Network(builder="d")),
        ("phases.1.learning_rate=3e-5", lambda r: [p.learning_rate for p in r.phases] == [1e-4, 3e-5]),
        ("phases.0.terms.mse=2", lambda r: [p.terms["mse"] for p in r.phases] == [2.0, 1.0]),
        ("data.tables.mozjpeg=0.5", lambda r: r.data.tables == {"standard": 1.0, "mozjpeg": 0.5}),
        ("data.subsampling=4:2:2", lambda r: r.data.subsampling == {"4:2:2": 1.0}),
        ('phases.1.fading=["edge"]', lambda r: [p.fading for p in r.phases] == [(), ("edge",)]),
        ("phases.0.terms=edge", lambda r: r.phases[0].terms == {"edge": 1.0}),
        ("phases.0.terms.edge=0.1", lambda r: r.phases[0].terms == {"mse": 1.0, "edge": 0.1}),
        ("generator.options.blocks=8", lambda r: r.generator.options == {"blocks": 8, "norm": "none"}),
        ("generator.options.stride=2", lambda r: r.generator.options == {"blocks": 2, "norm": "none", "stride": 2}),
    ],
)
def test_override_sets_one_field(assignment, value):
    before = recipes.to_json(RECIPE)
    result = recipes.override(RECIPE, [assignment])
    assert value(result) and not value(RECIPE)
    assert isinstance(result, Recipe)
    assert recipes.to_json(RECIPE) == before
    field = assignment.split(".")[0].split("=")[0]
    assert dataclasses.replace(result, **{field: getattr(RECIPE, field)}) == RECIPE


def test_override_goes_through_a_region_aware_recipe():
    result = recipes.override(RECIPES["cpu"], ["base.phases.0.epochs=2", "mask.threshold=4", "texture.data.batch=3"])
    assert (result.base.phases[0].epochs, result.mask.threshold, result.texture.data.batch) == (2, 4, 3)
    assert result.base.data == RECIPES["cpu"].base.data


def test_the_last_of_two_overrides_holds():
    assert recipes.override(RECIPE, ["seed=3", "data.patch=8", "seed=4"]).seed == 4


def test_override_takes_an_optional_value_back():
    clipped = recipes.override(RECIPE, ["optimizer.clip_norm=1"])
    assert recipes.override(clipped, ["optimizer.clip_norm=null"]) == RECIPE != clipped


def test_no_override_gives_an_equal_recipe():
    assert recipes.override(RECIPE, []) == RECIPE


@pytest.mark.parametrize(
    "path, part",
    [
        ("sed", "sed"),
        ("dta.patch", "dta"),
        ("data.pach", "pach"),
        ("data..patch", ""),
        ("data.patch.x", "x"),
        ("phase.0.epochs", "phase"),
        ("phases.2.epochs", "2"),
        ("phases.-1.epochs", "-1"),
        ("phases.first.epochs", "first"),
        ("phases.0.epoch", "epoch"),
        ("phases.0.term.mse", "term"),
        ("data.quality.2", "2"),
        ("generator.option.blocks", "option"),
        ("generator.options.deep.er", "deep"),
        ("discriminator.builder", "builder"),
        ("options.blocks", "options"),
        ("", ""),
    ],
)
def test_override_names_the_part_of_the_path_that_does_not_exist(path, part):
    with pytest.raises(RecipeError, match=f"no field '{path}': '{part}' is not among"):
        recipes.override(RECIPE, [f"{path}=1"])


def test_override_lists_the_fields_there_are():
    with pytest.raises(RecipeError, match="among: epochs, terms, fading, learning_rate, discriminator_rate, decay"):
        recipes.override(RECIPE, ["phases.0.epoch=1"])


@pytest.mark.parametrize(
    "assignment, path",
    [
        ("data.patch=big", "data.patch"),
        ("data.patch=6.5", "data.patch"),
        ("data.quality=10", "data.quality"),
        ("data.quality.0=low", "data.quality.0"),
        ("data.augment=yes", "data.augment"),
        ("data.patch=", "data.patch"),
        ("phases.0.terms.mse=much", "phases.0.terms.mse"),
        ("phases.0.terms=[1]", "phases.0.terms"),
        ("phases.0=5", "phases.0"),
        ("generator.options=8", "generator.options"),
        ("generator=edge_cnn", "generator"),
    ],
)
def test_override_names_the_field_whose_value_has_the_wrong_type(assignment, path):
    with pytest.raises(RecipeError, match=rf"recipe\.{path}(\.\S+)?: must"):
        recipes.override(RECIPE, [assignment])


def test_override_refuses_a_bad_value():
    with pytest.raises(RecipeError, match="recipe.data.gray: must be"):
        recipes.override(RECIPE, ["data.gray=2"])


@pytest.mark.parametrize("assignments", [["data.patch"], ["generator.options=8", "generator.options.blocks=2"]])
def test_override_refuses_what_is_no_assignment_of_a_field(assignments):
    with pytest.raises(RecipeError, match=assignments[-1].split("=")[0]):
        recipes.override(RECIPE, assignments)


def test_the_paper_recipe_has_the_numbers_of_the_paper():
    """Section 4.1: "we set the batch size as 16 and randomly sample patches in the size of 16x16", "Regarding
    Texture-GAN, we utilize patches in the size of 224x224 and set the batch size to be 4", "Adam with momentum term
    beta_1 = 0.9, beta_2 = 0.999, and the learning rate 1e-4", "Edge-CNN for 2000 epochs and Texture-GAN for 200
    epochs", "2060 natural images"; Section 3.2: "lambda_1 to 1e-6, lambda_2 to 1e-6 and lambda_3 to 1e-3", "Relu1-1,
    Relu2-1 and Relu3-1", "P = 16"; Section 3.3: "the threshold T is empirically set as 5".
    """
    paper = RECIPES["paper"]
    adam = Optimizer(beta_1=0.9, beta_2=0.999, clip_norm=None, average=None)
    patches = {"quality": (10, 10), "gray": 0.0, "subsampling": {"4:2:0": 1.0}, "patches_per_image": 1}

    base = paper.base
    assert base.generator == Network(builder="edge_cnn", options={"entry": 3, "edges_from": "stack"})
    assert base.discriminator is None
    assert (base.data.patch, base.data.batch, base.optimizer) == (16, 16, adam)
    assert base.phases == (Phase(epochs=2000, terms={"mse": 1.0, "edge": 1.0}, learning_rate=1e-4, decay="constant"),)

    texture = paper.texture
    assert texture.generator == Network(builder="texture_generator", options={"entry": 3})
    assert texture.discriminator == Network(builder="srgan_discriminator")
    assert (texture.data.patch, texture.data.batch, texture.optimizer) == (224, 4, adam)
    terms = {"mse": 1.0, "perceptual": 1e-6, "texture": 1e-6, "adversarial": 1e-3}
    assert texture.phases == (Phase(epochs=200, terms=terms, learning_rate=1e-4, decay="constant"),)
    assert texture.features == Features(
        network="vgg19",
        weights="imagenet",
        perceptual="block4_pool",
        texture=("block1_conv1", "block2_conv1", "block3_conv1"),
        texture_patch=16,
        texture_size="map",  # "M_l is the size of feature map"
    )

    for recipe in (base, texture):
        assert recipe.data.augment is False
        assert {name: getattr(recipe.data, name) for name in patches} == patches
        assert recipe.steps_per_epoch == -(-2060 // recipe.data.batch)
        assert recipe.precision == "float32"
    assert paper.mask.threshold == 5 and paper.mask == Mask(threshold=5, gradient_floor=5.0, majority=1)
    assert paper.texture_from_base is False


@pytest.mark.parametrize(("field", "unset"), [("weight_decay", "0"), ("adam_ratio", "0.5")])
def test_what_is_of_muon_alone_is_refused_without_it(field, unset):
    adam = ["optimizer.kind=adam", "optimizer.weight_decay=0"]
    with pytest.raises(RecipeError, match=f"{field} is of muon, adam has none: .* {unset}, not 0.25"):
        recipes.override(RECIPES["cpu"].base, [*adam, f"optimizer.{field}=0.25"])
    recipes.override(RECIPES["cpu"].base, [*adam, f"optimizer.{field}={unset}"])
