"""The catalog client."""

import pytest

pytest.register_assert_rewrite("polly_core.testing.contract")
