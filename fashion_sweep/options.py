"""Options that several commands have."""

from typing import Annotated

from typer import Option

Preset = Annotated[
    str | None, Option(help="Preset name or YAML file. Default: $FASHION_SWEEP_PRESET, else tiny.", metavar="PRESET")
]
Settings = Annotated[
    list[str] | None,
    Option(
        "--set",
        help="Replace a value of the preset, or of the sweep as sweep.KEY; may be repeated.",
        metavar="KEY=VALUE",
    ),
]
