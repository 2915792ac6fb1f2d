"""What proposing would ask and cost, in plain words: 'mars propose --dry-run' prints them, Train shows them."""

from mars_engine.augment.generation_forecast import GenerationForecast
from mars_engine.core.chat_records import GenerationEstimate
from mars_engine.core.config import ChatConfig


def forecast_lines(forecast: GenerationForecast, config: ChatConfig) -> list[str]:
    """Return lines on what proposing would ask, and on what was spent and may be spent."""
    low, high, judging, spent = forecast.at_least, forecast.at_most, forecast.judging_at_most, forecast.spent
    model = f"the chat model {config.model!r}" if config.model else "a chat model that is not named yet (chat.model)"
    lines = [
        f"Proposing for {forecast.sources:,} source pairs asks {model} {_range(low.requests, high.requests)} requests, "
        f"{_range(low.answered, high.answered)} of which are answered already"
    ]
    if high.requests:
        lines.append(f"it is asked under {config.profile_in_words}")
    if high.to_ask:
        lines.append(
            f"still to ask: {_range(low.to_ask, high.to_ask)} requests, about "
            f"{_range(low.input_tokens, high.input_tokens)} tokens in and "
            f"{_range(low.output_tokens, high.output_tokens)} out{_money(low, high, config)}"
        )
    if high.too_long:
        lines.append(
            f"{_range(low.too_long, high.too_long)} of these are for long texts, and their answers may be cut off at "
            f"{config.max_tokens:,} tokens (chat.max_tokens): allow more, or ask for fewer than {config.candidates:,} "
            "rewrites at once (chat.candidates)"
        )
    if judging.requests:
        lines.append(
            f"a judge is asked about what passes the other gates, in both orders: up to {judging.to_ask:,} requests "
            f"beside, about {judging.input_tokens:,} tokens in and {judging.output_tokens:,} out"
            f"{_money(GenerationEstimate(), judging, config)}"
        )
    lines.append(
        f"spent in this workspace so far: {spent.requests:,} requests, {spent.tokens:,} tokens, {spent.cost:,.4g} in "
        f"money; the budget: {_limit(config.max_requests, 'of requests')}, "
        f"{_limit(config.max_total_tokens, 'of tokens')}, {_limit(config.max_cost, 'in money')}"
    )
    return lines


def _range(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def money_in_words(estimate: GenerationEstimate, config: ChatConfig) -> str:
    """Return what an estimate comes to in money, to end a sentence with."""
    if not config.input_price and not config.output_price:
        return _money(estimate, estimate, config)
    return f", about {estimate.cost:,.4g} in money"


def _money(low: GenerationEstimate, high: GenerationEstimate, config: ChatConfig) -> str:
    if not config.input_price and not config.output_price:
        return "; what they cost is not known without chat.input_price and chat.output_price"
    return f", about {low.cost:,.4g} to {high.cost:,.4g} in money"


def _limit(most: float, of_what: str) -> str:
    return f"{most:,} {of_what.removeprefix('of ')}" if most else f"no limit {of_what}"
