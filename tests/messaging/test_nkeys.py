"""Keys and claims as other programs read them: the nkeys package is the oracle."""

import base64
import json

import nkeys
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messaging.accounts import partner_claim, partner_credentials
from shared.messaging.nkeys import ACCOUNT, OPERATOR, USER, key_of, new_key, signing_in

LETTERS = {OPERATOR: "O", ACCOUNT: "A", USER: "U"}


@pytest.mark.parametrize("kind", LETTERS)
def test_a_key_is_one_to_others_too(kind: int) -> None:
    key = new_key(kind)
    other = nkeys.from_seed(bytearray(key.seed.encode()))
    assert (key.public[0], key.seed[:2]) == (LETTERS[kind], f"S{LETTERS[kind]}")
    assert other.public_key.decode() == key.public
    assert other.verify(b"content", key.sign(b"content"))
    assert key_of(key.seed) == key


@given(st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ234567=é \n", max_size=70))
def test_what_is_no_seed_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        key_of(text)


def test_a_seed_with_any_letter_changed_is_refused() -> None:
    seed = new_key(USER).seed
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    for changed in {seed[:i] + letter + seed[i + 1 :] for i in range(len(seed)) for letter in letters} - {seed}:
        with pytest.raises(ValueError):
            key_of(changed)


def test_a_public_key_is_no_seed() -> None:
    with pytest.raises(ValueError, match="not the seed"):
        key_of(new_key(USER).public)


def test_credentials_sign_in_with_the_users_claim_and_key() -> None:
    account, signing = new_key(ACCOUNT).public, new_key(ACCOUNT)
    user, text = partner_credentials(signing, account, "yanqing", "bank-a", expires=1_900_000_000)
    claim, sign = signing_in(lambda: text)
    told = content(claim().decode(), signing.public)
    assert (told["sub"], told["exp"], told["nats"]["issuer_account"]) == (user, 1_900_000_000, account)
    assert told["nats"]["pub"]["allow"][0] == "submit.yanqing.*" and told["nats"]["sub"]["allow"] == ["_INBOX.>"]
    verifier(user).verify(b"the nonce", base64.b64decode(sign("the nonce")))


def test_text_that_is_no_credentials_is_refused() -> None:
    with pytest.raises(ValueError, match="creds"):
        signing_in(lambda: "something else")[0]()


def test_an_account_imports_its_own_subjects_only() -> None:
    operator, account, fund = new_key(OPERATOR), new_key(ACCOUNT).public, new_key(ACCOUNT).public
    told = content(partner_claim(operator, account, "yanqing", "bank-a", fund, ["key"]), operator.public)["nats"]
    assert all(account in one["subject"] and one["account"] == fund for one in told["imports"])
    assert told["signing_keys"] == ["key"] and told["limits"]["exports"] == 0 and "mem_storage" not in told["limits"]
    assert told["limits"]["payload"] == 262_144


def verifier(public: str) -> "nkeys.nacl.signing.VerifyKey":
    return nkeys.nacl.signing.VerifyKey(base64.b32decode(public + "=" * (-len(public) % 8))[1:-2])


def content(claim: str, issuer: str) -> dict:
    """What a claim says, its signature checked."""
    head, body, signature = claim.split(".")
    verifier(issuer).verify(f"{head}.{body}".encode(), base64.urlsafe_b64decode(signature + "=="))
    told = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert told["iss"] == issuer
    return dict(told)
