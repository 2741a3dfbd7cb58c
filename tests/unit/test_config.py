"""A configuration is loaded, overridden and checked once; each mistake is one clear error before anything starts."""

from pathlib import Path

import pytest

from raylign.config import LoopConfig, difference, load_config, to_yaml
from raylign.config.load import training_difference
from raylign.errors import ConfigError, InputError

CONF = Path(__file__).parent.parent.parent / "jobs" / "conf"


def test_defaults_need_no_file() -> None:
    config = load_config()
    assert config == LoopConfig()
    assert config.model == "bundled"


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_configuration_loads(path: Path) -> None:
    assert isinstance(load_config(path), LoopConfig)


def test_file_then_overrides(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("train:\n  beta: 0.3\n  learning_rate: 1e-6\nprompts:\n  limit: 5\n")
    config = load_config(path, ["train.beta=0.4", "prompts.limit=null", "sample.engine={swap_space: 1}"])
    assert (config.train.beta, config.train.learning_rate, config.prompts.limit) == (0.4, 1e-6, None)
    assert config.sample.engine == {"swap_space": 1}


def test_resolved_yaml_loads_to_the_same_configuration(tmp_path: Path) -> None:
    config = load_config(None, ["train.learning_rate=2e-7", "revise.guideline='Be brief: one sentence.'", "seed=7"])
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config))
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("train.bata=1", "did you mean 'train.beta'?"),
        ("beta=1", "did you mean 'train.beta'?"),
        ("train.beta=much", "train.beta is 'much'"),
        ("train.workers=1.5", "it takes int"),
        ("train=3", "it is a section"),
        ("train.objective=ppo", "allowed: apo_zero, apo_down, dpo, ipo"),
        ("train.zero_stage=4", "allowed: 1, 2, 3"),
        ("train.beta=-1", "more than 0"),
        ("sample.temperature=.nan", "finite"),
        ("train.batch_size=3", "multiple of workers"),
        ("sample.max_tokens=4000", "sample.max_model_len"),
        ("sample.engines_min=3", "sample.engines_max"),
        ("pairs.filters=[empty,nonsense]", "'nonsense'"),
        ("pairs.filters=[empty,empty]", "once"),
        ("pairs.filters=3", "it takes list[str]"),
        ("pairs.filters=[near_duplicate,empty]", "name near_duplicate last"),
        ("pairs.min_length_ratio=5", "pairs.max_length_ratio is 4.0"),
        ("pairs.max_levenshtein=1.5", "at most 1"),
        ("pairs.min_shared_prefix=-1", "at least 0"),
        ("pairs.near_duplicate_threshold=0", "more than 0"),
        ("revise.base_url=localhost:8000", "http://"),
        ("revise.base_url=https://api.example.com/v1", "revise.model"),
        ("revise.mode=batch", "set revise.base_url"),
        ("revise.batch_discount=1.5", "at most 1"),
        ("revise.guideline='  '", "revise.guideline is empty"),
        ("revise.reply_format=json", "allowed: text, json_schema"),
        ("revise.reply_format=json_schema", "revise.template is 'guideline'"),
        ("revise.reply_fromat=text", "did you mean 'revise.reply_format'?"),
        ("revise.max_repair=1", "did you mean 'revise.max_repairs'?"),
        ("revise.max_repairs=-1", "at least 0"),
        ("evaluate.models=[a,b]", "set evaluate.base_url"),
        ("evaluate.suites=[ifeval,ifeval]", "name each of them once"),
        ("evaluate.judge.base_url=http://x/v1", "set evaluate.judge.model"),
        ("evaluate.judge.model=gpt-4o", "name the judge's endpoint"),
        ("evaluate.judge.base_url=x", "http://"),
        ("evaluate.max_usd=1", "set evaluate.usd_per_million_prompt_tokens"),
        ("evaluate.judge.actors_min=3", "evaluate.judge.actors_max is 2"),
        ("pairs.source=distilled", "allowed: clair, judge, offpolicy, stronger"),
        ("pairs.source=judge", "set sample.samples=2"),
        ("pairs.source=offpolicy", "name the file with the pairs to import"),
        ("sample.samples=0", "at least 1"),
        ("offpolicy.against=best", "allowed: worst, random"),
        ("serve.host=0.0.0.0", "127.0.0.1"),
        ("train.offload_optimizer=true", "gpus_per_worker"),
        ("train.keep_best=accuracy", "allowed: null, reward_accuracy, reward_margin, loss"),
        ("train.workers_max=9", "nor above train.batch_size"),
        ("no-equals-sign", "key=value"),
        ("train.beta=[", "not YAML"),
    ],
)
def test_a_mistake_names_the_key_and_the_cure(override: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, [override])
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["pairs.min_shared_prefix=5", "pairs.max_shared_prefix=4"], "pairs.max_shared_prefix is 4"),
        (["pairs.min_levenshtein=0.5", "pairs.max_levenshtein=0.4"], "the first must not exceed the second"),
        (["sample.samples=2", "sample.temperature=0"], "greedy drafts of a prompt are all the same"),
        (
            ["pairs.source=stronger", "revise.template=clair", "revise.reply_format=json_schema"],
            "pairs.source is 'stro",
        ),
        (["pairs.source=judge", "sample.samples=2", "revise.reply_format=json_schema"], "set revise.reply_format=text"),
        (["train.workers=2", "train.micro_batch_size=4", "train.workers_max=1"], "train.workers_max is 1 with"),
        (["train.attention=flex"], "train.attention is flex while train.gpus_per_worker is 0"),
        (["train.workers=3", "train.sequence_parallel=2"], "train.sequence_parallel is 2 with train.workers 3"),
        (["train.workers=2", "train.sequence_parallel=2", "train.workers_max=4"], "train.workers_max 4"),
    ],
)
def test_values_that_do_not_go_together_are_named_together(overrides: list[str], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        load_config(None, overrides)


def test_a_source_takes_over_from_a_configuration_made_for_clair() -> None:
    """One override gives the data set to compare with; the template is clair's own and needs no change."""
    llama = CONF / "llama3_8b.yaml"
    assert load_config(llama, ["pairs.source=stronger"]).revise.template == "clair"
    assert load_config(llama, ["pairs.source=judge", "sample.samples=2"]).pairs.source == "judge"
    assert load_config(llama, ["pairs.source=offpolicy", "offpolicy.path=/x.jsonl"]).offpolicy.path == "/x.jsonl"
    assert load_config(None, ["pairs.source=stronger", "revise.guideline=''"]).revise.guideline == ""


@pytest.mark.parametrize(("text", "named"), [("a: [", "not YAML"), ("- 1\n", "list"), ("modle: x\n", "'model'")])
def test_a_bad_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises((ConfigError, InputError)) as caught:
        load_config(path)
    assert named in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")


def test_difference_names_each_changed_key() -> None:
    old, new = to_yaml(load_config()), to_yaml(load_config(None, ["train.beta=0.2", "sample.engine={x: 1}"]))
    assert difference(old, old) == []
    assert "train.beta: 0.3 there, 0.2 here" in difference(old, new)
    assert "sample.engine.x: (not set) there, 1 here" in difference(old, new)


def test_of_a_difference_only_what_bears_on_training_keeps_a_run_from_going_on() -> None:
    old = to_yaml(LoopConfig())
    config = LoopConfig(seed=1)
    config.train.beta, config.train.pairs, config.train.workers, config.sample.samples = 0.2, "/elsewhere", 2, 3
    assert training_difference(old, to_yaml(config)) == ["seed: 0 there, 1 here", "train.beta: 0.3 there, 0.2 here"]
