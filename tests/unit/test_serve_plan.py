"""What is asked of Ray Serve and vLLM for a ServeConfig, and when a cluster is too small."""

import pytest

from raylign.config import ServeConfig
from raylign.errors import ConfigError, PlanError
from raylign.serve.catalogue import Adapter, Catalogue
from raylign.serve.plan import ADAPTER_FOLDERS, INGRESS_CPUS, check_room, engine_threads, mark, plan_models

TWO = Catalogue({"base": "/models/base", "aligned": "/models/aligned"})
ONE = Catalogue({"reviser": "/models/base"})


def test_cpu_models_share_the_cores_and_take_one_logical_cpu_each() -> None:
    alone = plan_models(ONE, ServeConfig(), cores=2)[0]
    base, aligned = plan_models(TWO, ServeConfig(), cores=2)
    assert alone["runtime_env"]["env_vars"]["OMP_NUM_THREADS"] == "2"
    assert alone["placement_group_config"]["bundles"] == [{"CPU": 1.0}]
    for plan in (base, aligned):
        assert plan["accelerator_config"] == {"kind": "cpu"}
        assert plan["runtime_env"]["env_vars"]["OMP_NUM_THREADS"] == "1"
        assert plan["runtime_env"]["env_vars"]["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
        assert plan["placement_group_config"]["bundles"] == [{"CPU": 1.0}]
    assert [plan["model_loading_config"]["model_id"] for plan in (base, aligned)] == ["base", "aligned"]


@pytest.mark.parametrize(
    ("models", "replicas", "cores", "threads"), [(1, 1, 64, 64), (2, 2, 64, 16), (2, 1, 1, 1), (3, 2, 2, 1)]
)
def test_threads_are_a_share_of_the_cores_and_never_none(models: int, replicas: int, cores: int, threads: int) -> None:
    assert engine_threads(models, ServeConfig(replicas_max=replicas), cores) == threads


def test_threads_asked_for_win_and_are_reserved() -> None:
    plan = plan_models(TWO, ServeConfig(threads_per_replica=5), cores=2)[0]
    assert plan["runtime_env"]["env_vars"]["OMP_NUM_THREADS"] == "5"
    assert plan["placement_group_config"]["bundles"] == [{"CPU": 5.0}]


def test_a_laptop_of_many_cores_fits_a_private_cluster_of_eight_places() -> None:
    check_room(2, ServeConfig(), cpus=8, gpus=0)
    assert plan_models(TWO, ServeConfig(), cores=64)[0]["runtime_env"]["env_vars"]["OMP_NUM_THREADS"] == "32"


def test_gpu_model_is_tensor_parallel_with_one_gpu_a_bundle() -> None:
    plan = plan_models(ONE, ServeConfig(gpus_per_replica=4, max_model_len=8192), cores=2)[0]
    assert plan["accelerator_config"] == {"kind": "gpu"}
    assert plan["engine_kwargs"]["tensor_parallel_size"] == 4
    assert plan["engine_kwargs"]["max_model_len"] == 8192
    assert "kv_cache_memory_bytes" not in plan["engine_kwargs"]
    assert sum(bundle["GPU"] for bundle in plan["placement_group_config"]["bundles"]) == 4
    assert "OMP_NUM_THREADS" not in plan["runtime_env"]["env_vars"]


def test_only_what_computes_on_a_cpu_yields_to_the_rest_of_its_host() -> None:
    cpu, gpu = (plan_models(ONE, ServeConfig(gpus_per_replica=gpus), cores=2)[0]["runtime_env"] for gpus in (0, 1))
    assert cpu["env_vars"]["RAY_worker_niceness"] == "19"
    assert "RAY_worker_niceness" not in gpu["env_vars"]


def test_engine_arguments_are_passed_through_and_win() -> None:
    plan = plan_models(ONE, ServeConfig(engine={"max_num_seqs": 7, "kv_cache_memory_bytes": 3 * 2**30}), cores=2)[0]
    assert plan["engine_kwargs"]["max_num_seqs"] == 7
    assert plan["engine_kwargs"]["kv_cache_memory_bytes"] == 3 * 2**30
    assert plan["runtime_env"]["env_vars"]["VLLM_CPU_KVCACHE_SPACE"] == "3"  # GiB; must not disagree


@pytest.mark.parametrize("key", ["model", "max_model_len", "tensor_parallel_size", "trust_remote_code"])
def test_engine_arguments_that_another_field_decides_are_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=f"serve.engine.{key}"):
        plan_models(ONE, ServeConfig(engine={key: 1}), cores=2)


def test_only_safetensors_and_no_remote_code_unless_asked() -> None:
    plain = plan_models(ONE, ServeConfig(), cores=2)[0]["engine_kwargs"]
    trusting = plan_models(ONE, ServeConfig(), cores=2, trust_remote_code=True)[0]["engine_kwargs"]
    assert plain["load_format"] == "safetensors"
    assert not plain.get("trust_remote_code")
    assert trusting["trust_remote_code"] is True


def test_fixed_replicas_and_autoscaled_replicas() -> None:
    fixed = plan_models(ONE, ServeConfig(replicas_min=2, replicas_max=2), cores=2)[0]["deployment_config"]
    scaled = plan_models(ONE, ServeConfig(replicas_min=1, replicas_max=6, target_ongoing_requests=16), cores=2)[0]
    assert fixed["num_replicas"] == 2
    assert "autoscaling_config" not in fixed
    assert scaled["deployment_config"]["autoscaling_config"] == {
        "min_replicas": 1,
        "initial_replicas": 1,
        "max_replicas": 6,
        "target_ongoing_requests": 16,
        "upscale_delay_s": 10.0,
        "downscale_delay_s": 300.0,
        "look_back_period_s": 10.0,
        "metrics_interval_s": 5.0,
    }
    # A replica must be able to hold more than the target, or the autoscaler never sees a reason to add one.
    assert scaled["deployment_config"]["max_ongoing_requests"] > 16


def test_the_jobs_environment_reaches_the_replicas() -> None:
    plan = plan_models(
        ONE, ServeConfig(), cores=2, runtime_env={"env_vars": {"PYTHONPATH": "/src", "OMP_NUM_THREADS": "9"}}
    )[0]
    assert plan["runtime_env"]["env_vars"]["PYTHONPATH"] == "/src"
    assert plan["runtime_env"]["env_vars"]["OMP_NUM_THREADS"] == "2"


def test_no_model_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no model"):
        plan_models(Catalogue({}), ServeConfig(), cores=2)


def test_room_counts_every_replica_and_the_router() -> None:
    config = ServeConfig(replicas_min=2, replicas_max=2, threads_per_replica=3)
    check_room(2, config, cpus=12 + INGRESS_CPUS, gpus=0)
    with pytest.raises(PlanError, match=r"needs 12\.5 logical CPUs, and the cluster has 12"):
        check_room(2, config, cpus=12, gpus=0)


def test_missing_gpus_are_said_before_anything_starts() -> None:
    with pytest.raises(PlanError, match=r"needs 8 GPU\(s\), and the cluster has 4") as caught:
        check_room(2, ServeConfig(gpus_per_replica=4), cpus=64, gpus=4)
    assert "serve.gpus_per_replica=0" in caught.value.cure


def test_a_model_that_may_go_to_zero_starts_once_and_needs_room_for_that() -> None:
    config = ServeConfig(replicas_min=0, replicas_max=2, downscale_seconds=5)
    scaling = plan_models(ONE, config, cores=2)[0]["deployment_config"]["autoscaling_config"]
    assert (scaling["min_replicas"], scaling["initial_replicas"]) == (0, 1)
    assert scaling["look_back_period_s"] <= 5  # or nothing could be decided within the time asked for
    with pytest.raises(PlanError):
        check_room(1, config, cpus=1, gpus=0)


def test_adapters_ride_on_their_models_engine_and_on_no_other() -> None:
    adapters = (Adapter("poet", "/a/poet", "base", rank=4), Adapter("cook", "/a/cook", "base", rank=20))
    base, aligned = plan_models(Catalogue(TWO.models, adapters), ServeConfig(), cores=2)
    assert base["engine_kwargs"]["enable_lora"] is True
    assert (base["engine_kwargs"]["max_loras"], base["engine_kwargs"]["max_lora_rank"]) == (2, 32)
    assert base["experimental_configs"][ADAPTER_FOLDERS] == {"poet": "/a/poet", "cook": "/a/cook"}
    assert "enable_lora" not in aligned["engine_kwargs"]
    assert "lora_config" not in aligned
    with pytest.raises(ConfigError, match="rank 1024"):
        plan_models(Catalogue(ONE.models, (Adapter("x", "/x", "reviser", 1024),)), ServeConfig(), cores=2)


def test_an_answer_without_a_limit_ends_where_a_request_must_not_go_beyond() -> None:
    plan = plan_models(ONE, ServeConfig(max_tokens_limit=64), cores=2)[0]
    assert plan["engine_kwargs"]["override_generation_config"] == {"max_new_tokens": 64}


def test_a_version_changes_with_any_part_and_only_then() -> None:
    plan = plan_models(ONE, ServeConfig(), cores=2)[0]
    assert mark(plan, "weights") == mark(plan_models(ONE, ServeConfig(), cores=2)[0], "weights")
    assert mark(plan, "weights") != mark(plan, "other weights")
    assert mark(plan) != mark(plan_models(ONE, ServeConfig(max_model_len=512), cores=2)[0])
