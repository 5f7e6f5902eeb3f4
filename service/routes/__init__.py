"""The routes, one group a file; `service.app` lists them."""
