"""The API's documentation as a page: Swagger UI from our own files, so that it works without the internet."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gradclinic.errors import NotFound

router = APIRouter(include_in_schema=False)

# Swagger UI sets style attributes; scripts, connections and all else come from here alone.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>gradclinic API</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript. The document behind it: <a href="openapi.json">openapi.json</a></noscript>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""

# A file of its own, because the policy allows no script inside the page.
_START = """\
SwaggerUIBundle({
  url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, tryItOutEnabled: true, validatorUrl: null,
  defaultModelsExpandDepth: 0
});
"""

_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}


@router.api_route("/", methods=["GET", "HEAD"])
async def show_start() -> RedirectResponse:
    """Lead to the documentation."""
    return RedirectResponse("docs")


@router.api_route("/docs", methods=["GET", "HEAD"])
async def show_docs() -> HTMLResponse:
    """Show the documentation."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})


@router.api_route("/docs/start.js", methods=["GET", "HEAD"])
async def send_start_script() -> Response:
    """Send the line that starts Swagger UI."""
    return Response(_START, media_type="text/javascript")


@router.api_route("/docs/{asset}", methods=["GET", "HEAD"])
def send_asset(asset: str) -> Response:
    """Send one of Swagger UI's own files."""
    if asset not in _ASSETS:
        raise NotFound("file", asset)
    content = (files("service") / "static" / "swagger-ui" / asset).read_bytes()
    return Response(content, media_type=_ASSETS[asset], headers={"Cache-Control": "max-age=86400"})
