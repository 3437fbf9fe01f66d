"""Examples for the help of every command, and the exit codes that all share."""

EXAMPLES = {
    "llc": (
        "ontogeny llc model.safetensors setup.py",
        "ontogeny llc out/checkpoint-500 text.txt --component L0H3 --component 'L1*' --json",
        "ontogeny llc model.pt setup.py --error 0.01 --strict",
    ),
    "measure": (
        "ontogeny measure out text.txt",
        "ontogeny measure 'weights/model_{N}.pt' setup.py --dry-run",
        "ontogeny measure hf://EleutherAI/pythia-70m text.txt --every log:24 --component 'L*H*'",
    ),
    "components": ("ontogeny components setup.py", "ontogeny components out/checkpoint-500 --json"),
    "compare": ("ontogeny compare base.safetensors tuned.safetensors setup.py --dataset code=code.txt",),
    "gather": ("ontogeny gather runs/measured", "ontogeny gather runs/measured shard-1 shard-2 --rerun"),
    "jobs": ("ontogeny jobs runs/measured", "ontogeny jobs runs/measured --traceback"),
    "study": (
        "ontogeny study language --preset quick --out runs/language",
        "ontogeny study my_study.py --set training.num_steps=500 --seeds 3",
    ),
    "studies": ("ontogeny studies",),
    "report": ("ontogeny report runs/language",),
    "claims": ("ontogeny claims runs/language elsewhere/language --json",),
    "doctor": ("ontogeny doctor", "ontogeny doctor --json"),
}

EXIT_CODES = {
    0: "done; the verdict is in what was printed",
    1: "part of the work failed, and is named; or an unexpected error, with its traceback",
    2: "nothing was done: a wrong argument, an error in your own file, or a damaged file, on one line",
    3: "llc --strict: an estimate did not converge",
    130: "interrupted; the same command goes on from there",
}


def epilog(command: str) -> str:
    """What stands below the help of a command."""
    return "\n\n".join(("Examples:", *EXAMPLES[command]))


def exit_codes() -> str:
    """What stands below the help of `ontogeny` itself."""
    return "\n\n".join(("Exit codes:", *(f"{code}  {meaning}" for code, meaning in EXIT_CODES.items())))
