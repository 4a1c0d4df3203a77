"""The page's own security headers, and the refusal of forms that other sites send.

NGINX sends the same headers; the application sets them too (common/page_headers.py), so that its pages are safe
wherever they are served from.
"""

from urllib.parse import urlsplit

from fastapi import HTTPException, Request

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Referrer-Policy": "strict-origin-when-cross-origin"}


def require_same_origin(request: Request) -> None:
    """Dependency of every route that changes something: raises 403 when another site's page sent the form.

    The session cookie is SameSite=Lax already, but a page on another port of this host counts as the same site.
    """
    fetch_site = request.headers.get("sec-fetch-site")
    if fetch_site is not None:
        if fetch_site not in ("same-origin", "none"):
            raise HTTPException(403)
        return
    origin = request.headers.get("origin")
    # NGINX forwards Host without the port, so only the names can be compared here.
    if origin is not None and urlsplit(origin).hostname != request.url.hostname:
        raise HTTPException(403)
