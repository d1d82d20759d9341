import pytest
from pydantic import ValidationError

from llem.domain.spec import ExperimentConfig, Generation, ModelConfig, StudySettings


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt2", "gpt2"),
        ("meta-llama/Llama-3.2-1B", "Llama-3.2-1B"),
        ("./models/tiny/", "tiny"),
        ("/", "model"),
        ({"config": "qwen3", "hidden_size": 8}, "qwen3-random"),
    ],
)
def test_a_model_has_a_short_name(model, name):
    assert ExperimentConfig.model_validate({"model": model}).model_name == name


def test_a_random_model_keeps_the_architectures_own_keys():
    model = ModelConfig.model_validate({"config": "llama", "seed": 3, "hidden_size": 8, "rope": {"a": [1]}})
    assert model.options == {"hidden_size": 8, "rope": {"a": [1]}}


@pytest.mark.parametrize("size", [-1, 0, 1.5, "many", None])
def test_a_batch_holds_at_least_one_request(make, size):
    with pytest.raises(ValidationError, match="batch_size"):
        make.config(batch_size=size)


def test_a_batch_larger_than_the_prompts_is_refused(make):
    with pytest.raises(ValidationError, match=r"batch_size \(8\) is more than prompts.count \(4\)"):
        make.config(batch_size=8, prompts={"source": "synthetic", "count": 4})
    assert make.config(batch_size=8, prompts={"source": "synthetic", "count": 8}).batch_size == 8


@pytest.mark.parametrize("option", [{"temperature": 0.5}, {"top_k": 5}, {"top_p": 0.5}], ids=str)
def test_a_sampling_option_without_sampling_is_refused(option):
    (name,) = option
    with pytest.raises(ValidationError, match=f"{name} would have no effect without 'do_sample: true'"):
        Generation.model_validate(option)
    assert getattr(Generation.model_validate({**option, "do_sample": True}), name) == option[name]


@pytest.mark.parametrize("top_p", [0, -0.1, 1.1])
def test_top_p_is_a_probability(top_p):
    with pytest.raises(ValidationError, match="top_p"):
        Generation(do_sample=True, top_p=top_p)


@pytest.mark.parametrize("name", ["a", "llama-3.2_1B", "9", "x" * 100])
def test_a_name_of_letters_digits_dots_dashes_and_underscores_names_a_study(name):
    assert StudySettings(name=name).name == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a b", "-a", ".a", "_a", "a\n", "x" * 101, "ä", "a\x00"]
)
def test_a_name_that_is_no_plain_folder_name_is_refused(name):
    with pytest.raises(ValidationError, match="name"):
        StudySettings(name=name)


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_a_deadline_is_a_positive_finite_number(limit):
    with pytest.raises(ValidationError):
        StudySettings.model_validate({"name": "a", "limits": {"trial_s": limit}})


def test_a_configuration_cannot_be_changed(make):
    with pytest.raises(ValidationError, match="frozen"):
        make.config().batch_size = 2


@pytest.mark.parametrize("name", ["CUDA_VISIBLE_DEVICES", "TOKENIZERS_PARALLELISM", "_x9", "OMP_NUM_THREADS"])
def test_a_variable_of_a_trial_has_a_plain_name_and_any_text(make, name):
    assert make.config(environment={name: "1, 2\n"}).environment == {name: "1, 2\n"}


@pytest.mark.parametrize("name", ["", "9", "A-B", "A=B", "A B", "A\0", "Ä"])
def test_what_is_no_name_of_a_variable_is_refused(make, name):
    with pytest.raises(ValidationError, match="is no name of a variable"):
        make.config(environment={name: "x"})


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "API_KEY", "aws_secret_access_key", "DB_PASSWORD", "GITHUB_TOKENS", "KEY", "SECRET_PATH"]
)
def test_a_variable_that_looks_like_a_secret_is_refused_since_it_would_be_recorded(make, name):
    with pytest.raises(ValidationError, match="looks like a secret, and the values here are recorded"):
        make.config(environment={name: "x"})


def test_a_variable_is_text_without_nul_and_none_of_llem_s_own(make):
    for value in (1, True, None, 1.5):
        with pytest.raises(ValidationError, match="valid string"):
            make.config(environment={"A": value})
    with pytest.raises(ValidationError, match="holds a NUL"):
        make.config(environment={"A": "a\0b"})
    with pytest.raises(ValidationError, match="is llem's own"):
        make.config(environment={"LLEM_ATTEMPT": "x"})


def test_a_variable_whose_value_is_a_token_is_refused_whatever_its_name(make):
    with pytest.raises(ValidationError, match="looks like a secret"):
        make.config(environment={"INNOCENT": "hf_" + "Ab3" * 10})
