from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from gradclinic.contract.limits import Limits
from store.settings import Settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in (*Settings.model_fields, *Limits.model_fields):
        monkeypatch.delenv(f"GRADCLINIC_{field.upper()}", raising=False)


def test_without_settings_the_database_is_a_file_in_the_data_folder():
    assert Settings().database == f"sqlite:///{Path.cwd() / 'var' / 'gradclinic.db'}"
    assert Settings().broker_url is None
    assert Settings().limits == Limits()


def test_each_limit_has_a_variable_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADCLINIC_MAX_LAYERS", "7")
    monkeypatch.setenv("GRADCLINIC_RESOLVE_SECONDS", "0.5")

    assert Settings().limits == Limits(max_layers=7, resolve_seconds=0.5)


def test_a_wrong_limit_is_refused_by_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADCLINIC_MAX_LAYERS", "many")

    with pytest.raises(ValidationError, match="max_layers"):
        Settings()


def test_keys_are_comma_separated_and_never_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADCLINIC_API_KEYS", "secret-one, secret-two,,")
    monkeypatch.setenv("GRADCLINIC_DATABASE_URL", "postgresql://user:secret@host/db")

    settings = Settings()
    assert settings.api_keys == (SecretStr("secret-one"), SecretStr("secret-two"))
    assert "secret" not in repr(settings)


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADCLINIC_BROKER_URL", "")
    monkeypatch.setenv("GRADCLINIC_API_KEYS", "")
    monkeypatch.setenv("GRADCLINIC_MAX_LAYERS", "")

    assert Settings().broker_url is None
    assert Settings().api_keys == ()
    assert Settings().limits == Limits()
