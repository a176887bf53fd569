from setuptools import find_packages, setup

presets = "tfar.saved_models"

setup(
    packages=[*find_packages(include=["tfar", "tfar.*"]), presets],
    package_dir={presets: "saved_models"},
    package_data={
        presets: ["*/*"],
        "tfar.evaluation": ["*.csv"],
        "tfar.export": ["web_page/*", "web_page/vendor/*"],
        "tfar.reports": ["templates/*"],
    },
    exclude_package_data={presets: ["*/*.png"]},  # pictures for people who read the cards in the repository
)
