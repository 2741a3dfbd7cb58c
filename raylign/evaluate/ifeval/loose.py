"""The eight readings of a response under IFEval's loose criterion (arXiv 2311.07911). Pure."""


def loose_variants(response: str) -> tuple[str, ...]:
    """The response itself and seven readings of it that forgive an opening line, a closing line and Markdown stars.

    Four cuts of its lines (none; without the first; without the last; without both), each as it is and without any
    `*`. An instruction is followed loosely if one non-blank reading follows it.
    """
    lines = response.split("\n")
    cuts = [response, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return (*cuts, *(cut.replace("*", "") for cut in cuts))
