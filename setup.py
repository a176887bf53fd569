from pathlib import Path

from setuptools import find_namespace_packages, setup

presets = "tfar.saved_models"
names = [path.parent.name for path in sorted(Path("saved_models").glob("*/model.keras"))]

setup(
    packages=[
        *find_namespace_packages(include=["tfar", "tfar.*"]),
        presets,
        *(f"{presets}.{name}" for name in names),
    ],
    package_dir={presets: "saved_models"},
    package_data={
        "tfar.evaluation": ["*.csv"],
        "tfar.export.web_page": ["*"],
        "tfar.export.web_page.vendor": ["*"],
        "tfar.reports.templates": ["*"],
        **{f"{presets}.{name}": ["*.json", "*.keras", "*.md"] for name in names},  # without the cards' pictures
    },
)
