"""What is needed to judge or repeat a run, as names and values. Pure."""

from typing import Any
from urllib.parse import urlsplit

from raylign.pairs.sources import SOURCES
from raylign.report.record import RunRecord


def source_of(record: RunRecord) -> str:
    """The run's source of pairs; runs made before there was a choice are of `clair`."""
    return str((record.config.get("pairs") or {}).get("source") or "clair")


def facts(record: RunRecord) -> list[tuple[str, str]]:
    """Name and value of what is needed to judge or repeat the run."""
    config, found = record.config, []
    revise, train = config.get("revise") or {}, config.get("train") or {}
    if config:
        found += [
            ("Target model", str(config.get("model"))),
            *_source_facts(record, revise),
            (
                "Objective",
                f"{train.get('objective')}, β {train.get('beta')}, learning rate {train.get('learning_rate')}",
            ),
            ("Batch and epochs", f"{train.get('batch_size')} pairs a step, {train.get('epochs')} epoch(s)"),
            ("Seed", str(config.get("seed"))),
        ]
    if record.starts:
        last = record.starts[-1]
        host, code = last.get("host") or {}, last.get("code") or {}
        packages = (last.get("packages") or {}).items()
        changed = ", changed since" if code.get("changed") else ""
        found += [
            ("Command", " ".join(str(word) for word in last.get("command", []))),
            ("Started", f"{last.get('started')}; start {len(record.starts)} of this folder"),
            ("Host", f"{host.get('system')}, {host.get('cores')} cores"),
            ("Code", f"raylign {last.get('raylign')}, commit {code.get('commit', 'unknown')[:12]}{changed}"),
            ("Versions", ", ".join([f"python {last.get('python')}", *(f"{name} {text}" for name, text in packages)])),
        ]
    return found


def _source_facts(record: RunRecord, revise: dict[str, Any]) -> list[tuple[str, str]]:
    source = source_of(record)
    found = [("Source of pairs", source)]
    if part := SOURCES[source].asked:
        found.append((part, f"{revise.get('model')} at {_host(revise.get('base_url'))}"))
    if source == "clair":
        found.append(("Reviser template", str(revise.get("template"))))
    if source == "offpolicy":
        found.append(("Imported from", str((record.config.get("offpolicy") or {}).get("path"))))
    return found


def _host(base_url: str | None) -> str:
    """Whose endpoint it was; the host alone, since the rest of an address may hold a credential."""
    return urlsplit(base_url).hostname or "an unnamed host" if base_url else "loopback, served by the run"
