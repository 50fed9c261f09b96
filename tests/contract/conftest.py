"""A model of conf/model with small sizes, for tokens and for vectors, and inputs for it."""

import pytest

from tests.small_models import MODELS, random_inputs, small_model, token_spec, vector_spec

SPECS = {"tokens": token_spec(), "vectors": vector_spec()}


@pytest.fixture(params=SPECS)
def spec(request):
    return SPECS[request.param]


@pytest.fixture(params=MODELS)
def model(request, spec):
    return small_model(request.param, spec).eval()


@pytest.fixture
def inputs(spec):
    return random_inputs(spec, 3, spec.max_length)
