"""Tests of the catalog."""

import pytest

for suite in ("contract", "contract_writes", "contract_store", "place"):
    pytest.register_assert_rewrite(f"polly_core.testing.{suite}")
