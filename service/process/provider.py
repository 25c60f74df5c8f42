"""Sign-in through an OpenID provider: code flow with PKCE (RFC 7636), state and nonce (OpenID Connect Core 3.1).

authlib and httpx are imported at the first use. Nobody is asked but the issuer and the addresses it states.
"""

import hmac
import json
import secrets
import time
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from service.errors import Invalid, NotFound, Problem, Unavailable
from service.settings import Settings

TIMEOUT_S, KEPT_S = 10.0, 3600.0  # of one answer; how long the provider's description and keys are kept
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "Ed25519"]


@dataclass(frozen=True)
class Flow:
    """What one browser keeps, in a cookie, from the start of a sign-in to its end."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def begin(cls) -> "Flow":
        """Return new random values."""
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))

    def as_cookie(self) -> str:
        """Return the value of the cookie."""
        return ".".join(asdict(self).values())

    @classmethod
    def of_cookie(cls, value: str) -> "Flow | None":
        """Return what a cookie holds, or None."""
        parts = value.split(".")
        return cls(*parts) if len(parts) == 3 else None


@dataclass(frozen=True)
class Person:
    """Whom the provider says somebody is."""

    issuer: str
    subject: str
    name: str
    email: str | None  # only if the provider has verified it


class Provider:
    """The provider that the settings name, or none."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: dict[str, tuple[float, Any]] = {}

    @property
    def name(self) -> str | None:
        """What the page's button calls it; None: there is none."""
        settings = self._settings
        return (settings.oidc_name or urlsplit(settings.oidc_issuer).hostname) if settings.oidc_issuer else None

    async def address(self, flow: Flow, redirect_uri: str) -> str:
        """Return where the browser goes to sign in."""
        from authlib.integrations.httpx_client import AsyncOAuth2Client  # noqa: PLC0415

        endpoint = (await self._description())["authorization_endpoint"]
        async with self._client(AsyncOAuth2Client, redirect_uri) as client:
            url, _ = client.create_authorization_url(
                endpoint, state=flow.state, nonce=flow.nonce, code_verifier=flow.verifier
            )
        return str(url)

    async def person(self, flow: Flow | None, state: str, code: str, redirect_uri: str) -> Person:
        """Return who signed in, for a code that the provider gave to the browser of this flow."""
        from authlib.integrations.base_client.errors import OAuthError  # noqa: PLC0415
        from authlib.integrations.httpx_client import AsyncOAuth2Client  # noqa: PLC0415

        if flow is None or not hmac.compare_digest(flow.state.encode(), state.encode()):
            raise _refused("/state", "this sign-in did not begin in this browser, or too long ago: begin again.")
        described = await self._description()
        async with self._client(AsyncOAuth2Client, redirect_uri) as client:
            try:
                with _asking():
                    token = await client.fetch_token(
                        described["token_endpoint"],
                        code=code,
                        code_verifier=flow.verifier,
                        grant_type="authorization_code",
                    )
            except OAuthError:
                raise _refused("/code", "the provider does not know it: begin again.") from None
        return await self._read(token.get("id_token", ""), flow, described)

    async def _read(self, id_token: str, flow: Flow, described: dict[str, Any]) -> Person:
        """Check an id token (OpenID Connect Core 3.1.3.7) and return whom it names."""
        from joserfc import jwt  # noqa: PLC0415
        from joserfc.errors import JoseError  # noqa: PLC0415
        from joserfc.jwk import KeySet  # noqa: PLC0415

        client_id = self._settings.oidc_client_id
        try:
            keys = KeySet.import_key_set(await self._get(described["jwks_uri"]))
            claims = jwt.decode(id_token, keys, algorithms=ALGORITHMS).claims
            rules = jwt.JWTClaimsRegistry(
                leeway=60,
                iss={"essential": True, "value": self._settings.oidc_issuer},
                aud={"essential": True, "value": client_id},
                exp={"essential": True},
                nonce={"essential": True, "value": flow.nonce},
                sub={"essential": True},
            )
            rules.validate(claims)
        except (JoseError, ValueError):
            raise _refused("/code", "the provider's answer is not valid: begin again.") from None
        if claims.get("azp", client_id) != client_id:
            raise _refused("/code", "the provider's answer is for another program.")
        email = claims.get("email") if claims.get("email_verified") is True else None
        name = next((str(claims[k]) for k in ("preferred_username", "name", "email", "sub") if claims.get(k)), "")
        return Person(self._settings.oidc_issuer, str(claims["sub"]), name.partition("@")[0], email)

    async def _description(self) -> dict[str, Any]:
        if not self._settings.oidc_issuer:
            raise NotFound("This server has no OpenID provider.")
        url = self._settings.oidc_issuer.rstrip("/") + "/.well-known/openid-configuration"
        found: dict[str, Any] = await self._get(url)
        if found.get("issuer") != self._settings.oidc_issuer:
            raise Unavailable("The OpenID provider calls itself by another address than SADDLE_OIDC_ISSUER.")
        return found

    async def _get(self, url: str) -> Any:
        """Return a document of the provider, which is kept for an hour."""
        import httpx  # noqa: PLC0415

        until, found = self._kept.get(url, (0.0, None))
        if time.monotonic() < until:
            return found
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            with _asking():
                answer = await client.get(url)
                answer.raise_for_status()
                found = answer.json()
        self._kept[url] = (time.monotonic() + KEPT_S, found)
        return found

    def _client(self, kind: Any, redirect_uri: str) -> Any:
        settings = self._settings
        secret = settings.oidc_client_secret.get_secret_value() if settings.oidc_client_secret else None
        return kind(
            settings.oidc_client_id,
            secret,
            scope=settings.oidc_scopes,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            timeout=TIMEOUT_S,
            trust_env=False,
        )


class _asking:
    """Turns what can go wrong on the way to the provider into `Unavailable`."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        import httpx  # noqa: PLC0415

        if isinstance(error, httpx.HTTPError | json.JSONDecodeError):
            raise Unavailable("The OpenID provider does not answer as it should: try again later.") from error


def _refused(pointer: str, detail: str) -> Invalid:
    return Invalid.of([Problem(pointer, "sign_in_refused", detail)])
