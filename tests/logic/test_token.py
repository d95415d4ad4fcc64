"""Token mode: who is let in as whom, and what each of the others is told."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jwt.utils import base64url_encode
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import AuthRefused, PeerUnavailable
from imd.interfaces import Identity
from imd.logic.keys import KeyRing
from imd.logic.token import TokenAuthenticator, TokenSettings
from imd.logic.verify_key import ALGORITHMS, VerifyKey
from imd.metrics import Metrics
from imd.protocol import rpc
from tests.support.signers import SIGNERS

NOW = 1_800_000_000
GOOD = {"mid": 5, "exp": NOW + 60}
EXPIRES_MS = (NOW + 60 + 30) * 1000  # GOOD's exp, and the leeway
STRICT = TokenSettings(issuer="idp", audience="imd")


def key(name: str, kid: str = "") -> VerifyKey:
    return VerifyKey.from_file(SIGNERS[name].file, algorithm=name, source="file", kid=kid)


def request(token: str, wished: str = "phone") -> rpc.Connect:
    return rpc.Connect("c1", 1, wished, mid=999, room="live://asked", token=token)


class TokenCase(SynchronousTestCase):
    """A clock that stands at NOW, and keys of every algorithm unless a test says otherwise."""

    def setUp(self) -> None:
        self.now: float = NOW
        self.use([key(name) for name in ALGORITHMS])

    def use(self, keys: list[VerifyKey], settings: TokenSettings | None = None) -> None:
        ring = KeyRing(keys=keys, clock=Clock(), metrics=Metrics())
        self.tokens = TokenAuthenticator(keys=ring, now=lambda: self.now, settings=settings or TokenSettings())

    def let_in(self, token: str, wished: str = "phone") -> Identity:
        return self.successResultOf(Deferred.fromCoroutine(self.tokens.authenticate(request(token, wished))))

    def refused(self, token: str, words: str, wished: str = "phone") -> None:
        asked = Deferred.fromCoroutine(self.tokens.authenticate(request(token, wished)))
        said = str(self.failureResultOf(asked, AuthRefused).value)
        self.assertRegex(said, words)
        for part in token.split("."):
            if len(part) > 6:
                self.assertNotIn(part, said)


class SignatureTests(TokenCase):
    """Whose signature counts."""

    def test_every_algorithm(self) -> None:
        """Each algorithm lets in, with and without kid, when all kinds of keys are there."""
        for signer in SIGNERS.values():
            self.assertEqual(self.let_in(signer.sign(GOOD)).mid, 5)
            self.assertEqual(self.let_in(signer.sign(GOOD, kid="any")).mid, 5)

    def test_rotation(self) -> None:
        """The old key and the new one both count; each by its kid, or by trying without one."""
        signer = SIGNERS["ES256"]
        self.use([key("HS256", "old"), key("ES256", "new")])
        self.assertEqual(self.let_in(SIGNERS["HS256"].sign(GOOD, kid="old")).mid, 5)
        self.assertEqual(self.let_in(signer.sign(GOOD, kid="new")).mid, 5)
        self.assertEqual(self.let_in(signer.sign(GOOD)).mid, 5)

    def test_wrong_kid(self) -> None:
        """A kid that no key has, or that another algorithm's key has."""
        self.use([key("ES256", "a"), key("HS256", "b")])
        self.refused(SIGNERS["ES256"].sign(GOOD, kid="c"), "^kid: ")
        self.refused(SIGNERS["ES256"].sign(GOOD, kid="b"), "^kid: ")

    def test_forged(self) -> None:
        """Another's signature, a changed claim, a cut one."""
        self.use([key("ES256")])
        head, claims, signature = SIGNERS["ES256"].sign(GOOD).split(".")
        other = base64url_encode(json.dumps(GOOD | {"mid": 6}).encode()).decode()
        self.refused(f"{head}.{other}.{signature}", "^signature: ")
        self.refused(f"{head}.{claims}.", "^signature: ")
        self.refused(f"{head}.{claims}.{signature[:-2]}", "^signature: ")

    def test_public_key_as_secret(self) -> None:
        """HS256 with a public key for its secret gets nowhere, whatever keys there are."""
        for name in ("RS256", "ES256", "EdDSA"):
            token = SIGNERS[name].confused(GOOD)
            self.use([key(name)])
            self.refused(token, "^kid: no key")
            self.use([key(name), key("HS256")])
            self.refused(token, "^signature: ")

    def test_none(self) -> None:
        """No signature is none, however the algorithm's name is written."""
        claims = base64url_encode(json.dumps(GOOD).encode()).decode()
        for algorithm in ("none", "None", "NONE", "", None, 5, "HS384", "RS512", "ES256K"):
            head = base64url_encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()).decode()
            self.refused(f"{head}.{claims}.", "^alg: ")

    def test_critical_extensions(self) -> None:
        """What must be understood and is not, is refused."""
        self.refused(SIGNERS["HS256"].sign(GOOD, crit=["exp"], exp=1), "^(crit: |the token is no JWT)")

    def test_garbage(self) -> None:
        """Nothing, too much, and what is no JWT."""
        self.refused("", "^no token$")
        self.refused("x" * 8193, "longer than 8192")
        for token in (
            "x",
            "a.b",
            "a.b.c",
            "....",
            "\udcff.a.b",
            "é.é.é",
            base64url_encode(b"[" * 4000).decode() + ".a.b",
        ):
            self.refused(token, "no JWT")

    @given(st.text() | st.binary().map(lambda data: base64url_encode(data).decode()))
    def test_garbage_anywhere(self, text: str) -> None:
        """No text is a token, nor is a good token with any part of it replaced."""
        parts = SIGNERS["HS256"].sign(GOOD).split(".")
        for token in (text, *(".".join([*parts[:at], text, *parts[at + 1 :]]) for at in range(3))):
            asked = Deferred.fromCoroutine(self.tokens.authenticate(request(token)))
            self.failureResultOf(asked, AuthRefused)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
        | st.dictionaries(
            st.sampled_from(["mid", "sub", "exp", "nbf", "iat", "key", "room_id", "accepts", "aud", "iss"]),
            st.none() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
        )
    )
    def test_signed_garbage(self, claims: Any) -> None:
        """Whatever an issuer signs, the client is let in or refused; nothing else happens."""
        asked = Deferred.fromCoroutine(self.tokens.authenticate(request(SIGNERS["HS256"].sign(claims))))
        asked.addErrback(lambda failure: failure.trap(AuthRefused))
        self.successResultOf(asked)


class TimeTests(TokenCase):
    """By the injected wall clock, to the second."""

    def at(self, seconds: float, claims: dict[str, Any]) -> str:
        self.now = NOW
        return SIGNERS["HS256"].sign({"mid": 5, "exp": NOW + 3600} | claims)

    def test_exp(self) -> None:
        """Good until exp and the leeway after it, and not a second longer; a token seen before is no exception."""
        token = SIGNERS["HS256"].sign({"mid": 5, "exp": NOW})
        self.now = NOW + 29
        self.let_in(token)
        self.now = NOW + 30
        self.refused(token, "^exp: the token has expired$")
        self.use([key("HS256")], TokenSettings(leeway_seconds=0))
        self.now = NOW + 1
        self.refused(token, "^exp: ")

    def test_nbf_and_iat(self) -> None:
        """Not before its time."""
        for name in ("nbf", "iat"):
            token = SIGNERS["HS256"].sign(GOOD | {name: NOW + 31})
            self.now = NOW
            self.refused(token, f"^{name}: ")
            self.now = NOW + 1
            self.let_in(token)

    def test_exp_is_required(self) -> None:
        """By default a token says when it ends; where it need not, it may live for ever."""
        token = SIGNERS["HS256"].sign({"mid": 5})
        self.refused(token, "^exp: ")
        self.use([key("HS256")], TokenSettings(require_exp=False))
        self.let_in(token)
        self.refused(SIGNERS["HS256"].sign({"mid": 5, "exp": NOW - 31}), "^exp: ")

    def test_no_times(self) -> None:
        """What is no number is no time."""
        for value in ("1800000060", True, None, [NOW]):
            self.refused(SIGNERS["HS256"].sign({"mid": 5, "exp": value}), "^exp: not a number$")

    def test_endless(self) -> None:
        """A number beyond every clock is just late, and one before every clock long past."""
        identity = self.let_in(SIGNERS["HS256"].sign({"mid": 5, "exp": 10**400}))
        self.assertTrue(NOW * 1000 < identity.expires_at_ms < 2**63)
        self.refused(SIGNERS["HS256"].sign({"mid": 5, "exp": -(10**400)}), "^exp: ")

    def test_expires_at(self) -> None:
        """When it would be refused, leeway and all, also from memory; never for one that does not say."""
        token = SIGNERS["HS256"].sign({"mid": 5, "exp": NOW + 0.5})
        self.use([key("HS256")], TokenSettings(require_exp=False, leeway_seconds=10))
        for _ in range(2):
            self.assertEqual(self.let_in(token).expires_at_ms, NOW * 1000 + 10_500)
        self.assertEqual(self.let_in(SIGNERS["HS256"].sign({"mid": 5})).expires_at_ms, 0)


class ClaimTests(TokenCase):
    """What a token says, and for whom."""

    def sign(self, **claims: Any) -> str:
        return SIGNERS["HS256"].sign({"exp": NOW + 60} | claims)

    def test_parties(self) -> None:
        """iss and aud as the settings want them; not looked at where they say nothing."""
        self.let_in(self.sign(mid=5, iss="any", aud="any"))
        self.use([key("HS256")], STRICT)
        self.let_in(self.sign(mid=5, iss="idp", aud="imd"))
        self.let_in(self.sign(mid=5, iss="idp", aud=["web", "imd"]))
        for iss in (None, "", "other", ["idp"]):
            self.refused(self.sign(mid=5, iss=iss, aud="imd"), "^iss: ")
        for aud in (None, "", "other", ["web"], {"imd": 1}, "imd2"):
            self.refused(self.sign(mid=5, iss="idp", aud=aud), "^aud: ")

    def test_mid(self) -> None:
        """A number or its digits; sub when there is no mid; never what the client says itself."""
        self.assertEqual(self.let_in(self.sign(mid=2**63 - 1)).mid, 2**63 - 1)
        self.assertEqual(self.let_in(self.sign(mid="9007199254740993")).mid, 9007199254740993)
        self.assertEqual(self.let_in(self.sign(sub="-7")).mid, -7)
        self.assertEqual(self.let_in(self.sign(mid=5, sub="7")).mid, 5)

    def test_bad_mid(self) -> None:
        """None at all, names, fractions, beyond an int64."""
        self.refused(self.sign(), "^mid: the token names no member$")
        for value in ("alice", 1.5, True, 2**63, -(2**63) - 1, "9" * 20, "5\n", "٣", "--5", [5]):
            self.refused(self.sign(mid=value), "^mid: ")
            self.refused(self.sign(sub=value) if isinstance(value, str) else self.sign(mid=value), "^(mid|sub): ")

    def test_mid_claim(self) -> None:
        """Its name is a setting."""
        self.use([key("HS256")], TokenSettings(mid_claim="uid"))
        self.assertEqual(self.let_in(self.sign(uid=5, mid=6)).mid, 5)

    def test_all_claims(self) -> None:
        """Key, room and accepts are as the token says, an empty room too."""
        token = self.sign(mid=5, key="tv", room_id="", accepts=[1000, -1], platform="web")
        self.assertEqual(self.let_in(token), Identity(5, "tv", "", (1000, -1), "web", (), EXPIRES_MS))
        self.assertEqual(self.let_in(self.sign(mid=5)), Identity(5, "5:phone", expires_at_ms=EXPIRES_MS))

    def test_grants(self) -> None:
        """The rooms that the token names, each once, its room_id among them; none when it names none."""
        self.assertEqual(self.let_in(self.sign(mid=5)).grants, ())
        token = self.sign(mid=5, rooms=["vip://1", "vip://2", "vip://1", ""], room_id="vip://3")
        self.assertEqual(self.let_in(token).grants, ("vip://1", "vip://2", "vip://3"))
        self.assertEqual(self.let_in(self.sign(mid=5, room_id="")).grants, ())
        many = [f"vip://{number}" for number in range(100)]
        self.assertEqual(len(self.let_in(self.sign(mid=5, rooms=many)).grants), 100)

    def test_wrong_types(self) -> None:
        """Each claim of another type, or over its limit, is refused by name."""
        wrong: dict[str, list[Any]] = {
            "key": [5, ["a"], "k" * 129],
            "room_id": [5, "r" * 256],
            "accepts": [5, "1000", ["1000"], [2**31], [1.5], list(range(1001))],
            "platform": [5, "p" * 65],
            "rooms": [5, "live://1", [5], ["r" * 256], [f"live://{number}" for number in range(101)]],
        }
        for name, values in wrong.items():
            for value in values:
                self.refused(self.sign(mid=5, **{name: value}), name)

    def test_no_claims(self) -> None:
        """A signed text that is no JSON object."""
        for payload in (b"", b"[]", b"5", b"{", b"\xff", b"[" * 3000):
            self.refused(SIGNERS["HS256"].sign_bytes(payload), "claims")


class KeyTests(TokenCase):
    """Nobody takes a key of somebody else's."""

    def sign(self, **claims: Any) -> str:
        return SIGNERS["HS256"].sign({"exp": NOW + 60} | claims)

    def test_members_own(self) -> None:
        """The same wish of two members makes two keys; of one member, always the same one."""
        mine = self.let_in(self.sign(mid=5), "phone").key
        theirs = self.let_in(self.sign(mid=6), "phone").key
        again = self.let_in(self.sign(mid=5, jti="newer"), "phone").key
        self.assertEqual((mine, theirs, again), ("5:phone", "6:phone", "5:phone"))

    def test_naming_anothers_key(self) -> None:
        """Naming the whole key of somebody else makes an own one of it."""
        self.assertEqual(self.let_in(self.sign(mid=6), "5:phone").key, "6:5:phone")

    def test_anonymous(self) -> None:
        """Guests share no keys either: each has its token's own space."""
        one, two = self.sign(mid=0, jti="1"), self.sign(mid=0, jti="2")
        self.assertRegex(self.let_in(one).key, "^[0-9a-f]{16}:phone$")
        self.assertNotEqual(self.let_in(one).key, self.let_in(two).key)
        self.assertEqual(self.let_in(one).key, self.let_in(one).key)

    def test_tokens_word(self) -> None:
        """What the token names is taken as it is."""
        self.assertEqual(self.let_in(self.sign(mid=5, key="tv"), "phone").key, "tv")

    def test_too_long(self) -> None:
        """The whole key has the limit of every key."""
        self.assertEqual(len(self.let_in(self.sign(mid=5), "k" * 126).key), 128)
        self.refused(self.sign(mid=5), "^key: ", "k" * 127)


class CacheTests(TokenCase):
    """Verified tokens are remembered, and forgotten when they must be."""

    def test_verified_once(self) -> None:
        """The second time nothing is verified: the ring's keys are not asked."""
        asked: list[str] = []

        class Ring(KeyRing):
            def candidates(self, algorithm: str, kid: str) -> list[VerifyKey]:
                asked.append(algorithm)
                return super().candidates(algorithm, kid)

        ring = Ring(keys=[key("HS256")], clock=Clock(), metrics=Metrics())
        self.tokens = TokenAuthenticator(keys=ring, now=lambda: self.now, settings=TokenSettings(cached_tokens=2))
        one, two, three = (SIGNERS["HS256"].sign(GOOD | {"jti": str(number)}) for number in range(3))
        for token in (one, two, one, three, one, two):
            self.let_in(token)
        # one, two, three were verified; three pushed two out, the longest unused
        self.assertEqual(len(asked), 4)
        ring.generation += 1
        self.let_in(two)
        self.assertEqual(len(asked), 5)


class AwayTests(TokenCase):
    """With a JWKS URL that may be away."""

    def with_url(self, *answers: bytes | Exception) -> KeyRing:
        left = list(answers)

        async def fetch() -> bytes:
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.clock = Clock()
        ring = KeyRing(keys=[], clock=self.clock, metrics=Metrics(), fetch=fetch, again_seconds=10)
        self.tokens = TokenAuthenticator(keys=ring, now=lambda: self.now, settings=TokenSettings())
        return ring

    def jwks(self, kid: str) -> bytes:
        return json.dumps({"keys": [SIGNERS["ES256"].jwk(kid=kid)]}).encode()

    def unavailable(self, token: str) -> None:
        asked = Deferred.fromCoroutine(self.tokens.authenticate(request(token)))
        self.failureResultOf(asked, PeerUnavailable)

    def test_cannot_say(self) -> None:
        """While the keys cannot be had, nobody is told that his token is bad."""
        self.with_url(PeerUnavailable("refused"), self.jwks("a"))
        token = SIGNERS["ES256"].sign(GOOD, kid="a")
        self.unavailable(token)
        self.clock.advance(10)
        self.let_in(token)

    def test_new_key_while_away(self) -> None:
        """Known keys go on while the URL is away; a token of an unknown one may be good; a forged one is refused."""
        ring = self.with_url(self.jwks("a"), PeerUnavailable("refused"))
        self.successResultOf(Deferred.fromCoroutine(ring.open()))
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(ring.close())))
        self.clock.advance(20)
        self.unavailable(SIGNERS["ES256"].sign(GOOD, kid="b"))
        token = SIGNERS["ES256"].sign(GOOD, kid="a")
        self.let_in(token)
        forged = SIGNERS["ES256"].sign(GOOD | {"mid": 6}, kid="a").split(".")
        self.refused(".".join([*forged[:2], token.split(".")[2]]), "^signature: ")

    def test_removed_key(self) -> None:
        """A token that was verified with a key that is published no longer counts no longer."""
        ring = self.with_url(self.jwks("a"), self.jwks("b"))
        self.successResultOf(Deferred.fromCoroutine(ring.open()))
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(ring.close())))
        token = SIGNERS["ES256"].sign(GOOD, kid="a")
        self.let_in(token)
        self.clock.advance(300)
        self.refused(token, "^kid: ")
