//! Money as exact decimal amounts, never floating point and never mixed.
//!
//! An [`Amount`] is a checked `i128` count of 10^-18 of a currency unit with its ISO 4217 code.
//! Rows, splits and sums stay at that scale; [`Amount::rounded_to_micros`] and [`book`] round
//! once, half to even, when a total is booked or shown. It converts no currencies: an operation
//! over two of them is an error.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Digits behind the decimal point that an [`Amount`] holds.
pub const SCALE: usize = 18;

/// An exact amount of one currency.
///
/// ```
/// use custos_core::amount::Amount;
/// let a: Amount = "0.012 USD".parse().unwrap();
/// let b: Amount = "0.988 USD".parse().unwrap();
/// assert_eq!(a.checked_add(&b).unwrap().to_string(), "1 USD");
/// assert!(a.checked_add(&"1 EUR".parse().unwrap()).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Amount {
    // Count of 10^-18.
    units: i128,
    currency: Currency,
}

impl Amount {
    /// Returns nothing of `currency`.
    pub const fn zero(currency: Currency) -> Self {
        Self { units: 0, currency }
    }

    /// Returns the amount with this count of 10^-18.
    pub const fn from_units(units: i128, currency: Currency) -> Self {
        Self { units, currency }
    }

    /// Returns the amount with this count of millionths.
    pub fn from_micros(micros: i64, currency: Currency) -> Self {
        // Cannot saturate: 2^63 * 10^12 is below 2^127.
        Self {
            units: i128::from(micros).saturating_mul(UNITS_PER_MICRO),
            currency,
        }
    }

    /// Parses a decimal such as `-12.50`: digits, at most one point with digits on both sides, at
    /// most [`SCALE`] of them behind it; no exponent, no plus sign, no separators.
    pub fn parse(decimal: &str, currency: Currency) -> Result<Self, AmountError> {
        Ok(Self {
            units: parse_units(decimal)?,
            currency,
        })
    }

    /// Returns the count of 10^-18.
    pub const fn units(&self) -> i128 {
        self.units
    }

    /// Returns the currency.
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// Returns true for zero.
    pub const fn is_zero(&self) -> bool {
        self.units == 0
    }

    /// Returns true below zero.
    pub const fn is_negative(&self) -> bool {
        self.units < 0
    }

    /// Returns the decimal form without the currency: `0.012`.
    pub fn decimal(&self) -> String {
        let magnitude = self.units.unsigned_abs();
        let whole = magnitude.checked_div(UNITS_PER_ONE).unwrap_or(0);
        let part = magnitude.checked_rem(UNITS_PER_ONE).unwrap_or(0);
        let sign = if self.units < 0 { "-" } else { "" };
        let digits = format!("{part:0SCALE$}");
        match digits.trim_end_matches('0') {
            "" => format!("{sign}{whole}"),
            digits => format!("{sign}{whole}.{digits}"),
        }
    }

    /// Adds an amount of the same currency.
    pub fn checked_add(&self, other: &Self) -> Result<Self, AmountError> {
        self.same_currency(other)?;
        let units = self
            .units
            .checked_add(other.units)
            .ok_or(AmountError::Overflow)?;
        Ok(Self { units, ..*self })
    }

    /// Subtracts an amount of the same currency.
    pub fn checked_sub(&self, other: &Self) -> Result<Self, AmountError> {
        self.same_currency(other)?;
        let units = self
            .units
            .checked_sub(other.units)
            .ok_or(AmountError::Overflow)?;
        Ok(Self { units, ..*self })
    }

    /// Sums amounts of one currency; the sum of none is zero of `currency`.
    pub fn sum<'a>(
        currency: Currency,
        amounts: impl IntoIterator<Item = &'a Self>,
    ) -> Result<Self, AmountError> {
        amounts
            .into_iter()
            .try_fold(Self::zero(currency), |sum, next| sum.checked_add(next))
    }

    /// Multiplies by `numerator / denominator`, rounding half to even at [`SCALE`].
    pub fn times_ratio(
        &self,
        numerator: u64,
        denominator: NonZeroU64,
    ) -> Result<Self, AmountError> {
        let (numerator, denominator) = (u128::from(numerator), u128::from(denominator.get()));
        let share = Share::of(self.units.unsigned_abs(), numerator, denominator)?;
        let up = round_up(share.quotient, share.remainder, denominator);
        let magnitude = share
            .quotient
            .checked_add(u128::from(up))
            .ok_or(AmountError::Overflow)?;
        Ok(Self {
            units: signed(magnitude, self.units < 0)?,
            ..*self
        })
    }

    /// Splits by `weights` so that the parts sum to exactly this amount: each part is rounded
    /// towards zero, and what is left goes, one 10^-18 each, to the largest remainders (the
    /// earlier part on a tie).
    ///
    /// ```
    /// use custos_core::amount::Amount;
    /// let bill: Amount = "1 USD".parse().unwrap();
    /// let parts = bill.split(&[1, 1, 1]).unwrap();
    /// assert_eq!(parts[0].decimal(), "0.333333333333333334");
    /// assert_eq!(parts[2].decimal(), "0.333333333333333333");
    /// ```
    pub fn split(&self, weights: &[u64]) -> Result<Vec<Self>, AmountError> {
        let total = weights
            .iter()
            .try_fold(0_u64, |sum, weight| sum.checked_add(*weight))
            .ok_or(AmountError::Overflow)?;
        if total == 0 {
            return Err(AmountError::NoWeight);
        }
        let (magnitude, total) = (self.units.unsigned_abs(), u128::from(total));
        let mut shares = Vec::with_capacity(weights.len());
        for weight in weights {
            shares.push(Share::of(magnitude, u128::from(*weight), total)?);
        }
        give_out(&mut shares, magnitude)?;
        let negative = self.units < 0;
        shares
            .into_iter()
            .map(|share| {
                Ok(Self {
                    units: signed(share.quotient, negative)?,
                    ..*self
                })
            })
            .collect()
    }

    /// Rounds to whole millionths, half to even.
    pub fn rounded_to_micros(&self) -> Self {
        let magnitude = self.units.unsigned_abs();
        let step = UNITS_PER_MICRO.unsigned_abs();
        let quotient = magnitude.checked_div(step).unwrap_or(0);
        let remainder = magnitude.checked_rem(step).unwrap_or(0);
        let up = u128::from(round_up(quotient, remainder, step));
        let rounded = quotient.saturating_add(up).saturating_mul(step);
        // Next to the largest amount the rounded value would not fit; then the one below does.
        let fits = signed(rounded, self.units < 0)
            .or_else(|_| signed(quotient.saturating_mul(step), self.units < 0));
        Self {
            units: fits.unwrap_or(self.units),
            ..*self
        }
    }

    fn same_currency(&self, other: &Self) -> Result<(), AmountError> {
        if self.currency == other.currency {
            return Ok(());
        }
        Err(AmountError::CurrencyMismatch {
            left: self.currency,
            right: other.currency,
        })
    }
}

/// Rounds `rows` of one currency to millionths so that they sum to exactly their total rounded
/// once (half to even): each row is rounded down, and what is left goes to the largest
/// remainders.
pub fn book(currency: Currency, rows: &[Amount]) -> Result<Vec<Amount>, AmountError> {
    let total = Amount::sum(currency, rows)?.rounded_to_micros();
    let step = UNITS_PER_MICRO;
    let mut booked: Vec<i128> = Vec::with_capacity(rows.len());
    for row in rows {
        let micros = row
            .units
            .checked_div_euclid(step)
            .ok_or(AmountError::Overflow)?;
        booked.push(micros.checked_mul(step).ok_or(AmountError::Overflow)?);
    }
    let floor: i128 = booked
        .iter()
        .try_fold(0_i128, |sum, units| sum.checked_add(*units))
        .ok_or(AmountError::Overflow)?;
    let left = total
        .units
        .checked_sub(floor)
        .ok_or(AmountError::Overflow)?;
    let left = usize::try_from(left.checked_div(step).unwrap_or(0)).unwrap_or(0);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let remainder = |at: &usize| rows.get(*at).map_or(0, |row| row.units.rem_euclid(step));
    order.sort_by_key(|at| std::cmp::Reverse(remainder(at)));
    for at in order.into_iter().take(left) {
        if let Some(units) = booked.get_mut(at) {
            *units = units.checked_add(step).ok_or(AmountError::Overflow)?;
        }
    }
    Ok(booked
        .into_iter()
        .map(|units| Amount { units, currency })
        .collect())
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (decimal, currency) = text.split_once(' ').ok_or(AmountError::NoCurrency)?;
        Self::parse(decimal, currency.parse()?)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    amount: String,
    currency: Currency,
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire {
            amount: self.decimal(),
            currency: self.currency,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        Self::parse(&wire.amount, wire.currency).map_err(serde::de::Error::custom)
    }
}

/// An ISO 4217 currency code: three upper-case letters.
///
/// Only the form is checked. The list of codes in force changes, and a bill in a retired
/// currency is still a bill.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// United States dollar.
    pub const USD: Self = Self(*b"USD");
    /// Euro.
    pub const EUR: Self = Self(*b"EUR");

    /// Returns the code.
    pub fn code(&self) -> &str {
        // Only ASCII letters get in.
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = AmountError;

    fn from_str(code: &str) -> Result<Self, AmountError> {
        match <[u8; 3]>::try_from(code.as_bytes()) {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_uppercase) => Ok(Self(bytes)),
            _ => Err(AmountError::NotACurrency),
        }
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        code.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is not an amount, or an operation has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmountError {
    /// Two currencies in one operation.
    #[error("{left} and {right} cannot be combined")]
    CurrencyMismatch {
        /// The first.
        left: Currency,
        /// The second.
        right: Currency,
    },
    /// A text form without a currency behind the number.
    #[error("an amount is written like `0.012 USD`; there is no currency behind the number")]
    NoCurrency,
    /// The weights of a split sum to zero.
    #[error("an amount cannot be split by weights that sum to zero")]
    NoWeight,
    /// Not three upper-case letters.
    #[error("a currency is an ISO 4217 code such as USD")]
    NotACurrency,
    /// Not a plain decimal.
    #[error("an amount is a plain decimal such as -12.50")]
    NotADecimal,
    /// The result does not fit: beyond about 1.7 * 10^20 of a currency.
    #[error("the amount is too large")]
    Overflow,
    /// More digits behind the point than [`SCALE`].
    #[error("an amount has at most 18 digits behind the point")]
    TooPrecise,
}

// quotient = floor(magnitude * weight / total), without overflow in between.
struct Share {
    quotient: u128,
    remainder: u128,
}

impl Share {
    // `weight` and `total` are below 2^64, so a remainder times a weight fits.
    fn of(magnitude: u128, weight: u128, total: u128) -> Result<Self, AmountError> {
        let whole = magnitude.checked_div(total).ok_or(AmountError::NoWeight)?;
        let rest = magnitude.checked_rem(total).ok_or(AmountError::NoWeight)?;
        let part = rest.checked_mul(weight).ok_or(AmountError::Overflow)?;
        let quotient = whole
            .checked_mul(weight)
            .and_then(|value| value.checked_add(part.checked_div(total)?))
            .ok_or(AmountError::Overflow)?;
        Ok(Self {
            quotient,
            remainder: part.checked_rem(total).unwrap_or(0),
        })
    }
}

fn give_out(shares: &mut [Share], magnitude: u128) -> Result<(), AmountError> {
    let given = shares
        .iter()
        .try_fold(0_u128, |sum, share| sum.checked_add(share.quotient))
        .ok_or(AmountError::Overflow)?;
    let left = magnitude.checked_sub(given).ok_or(AmountError::Overflow)?;
    let left = usize::try_from(left).map_err(|_| AmountError::Overflow)?;
    let mut order: Vec<usize> = (0..shares.len()).collect();
    // The sort is stable: on a tie the earlier part comes first.
    order.sort_by_key(|at| std::cmp::Reverse(shares.get(*at).map_or(0, |s| s.remainder)));
    for at in order.into_iter().take(left) {
        if let Some(share) = shares.get_mut(at) {
            share.quotient = share.quotient.checked_add(1).ok_or(AmountError::Overflow)?;
        }
    }
    Ok(())
}

fn round_up(quotient: u128, remainder: u128, divisor: u128) -> bool {
    match remainder.saturating_mul(2).cmp(&divisor) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient & 1 == 1,
        std::cmp::Ordering::Greater => true,
    }
}

fn signed(magnitude: u128, negative: bool) -> Result<i128, AmountError> {
    let value = i128::try_from(magnitude);
    match (value, negative) {
        (Ok(value), false) => Ok(value),
        (Ok(value), true) => value.checked_neg().ok_or(AmountError::Overflow),
        (Err(_), true) if magnitude == i128::MIN.unsigned_abs() => Ok(i128::MIN),
        (Err(_), _) => Err(AmountError::Overflow),
    }
}

fn parse_units(text: &str) -> Result<i128, AmountError> {
    // Sign, 21 digits, point, 18 digits: anything longer cannot fit.
    if text.len() > 48 {
        return Err(AmountError::Overflow);
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, part) = match digits.split_once('.') {
        Some((_, "")) => return Err(AmountError::NotADecimal),
        Some((whole, part)) => (whole, part),
        None => (digits, ""),
    };
    let plain = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(part) {
        return Err(AmountError::NotADecimal);
    }
    if whole.len() > 1 && whole.starts_with('0') {
        return Err(AmountError::NotADecimal);
    }
    if part.len() > SCALE {
        return Err(AmountError::TooPrecise);
    }
    let magnitude: u128 = format!("{whole}{part:0<SCALE$}")
        .parse()
        .map_err(|_| AmountError::Overflow)?;
    signed(magnitude, negative)
}

const UNITS_PER_ONE: u128 = 1_000_000_000_000_000_000;
const UNITS_PER_MICRO: i128 = 1_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usd(text: &str) -> Amount {
        Amount::parse(text, Currency::USD).unwrap()
    }

    #[test]
    fn the_json_form_is_a_decimal_string() {
        let json = serde_json::to_string(&usd("0.0120")).unwrap();
        assert_eq!(json, r#"{"amount":"0.012","currency":"USD"}"#);
        assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), usd("0.012"));
        for bad in [
            r#"{"amount":0.012,"currency":"USD"}"#,
            r#"{"amount":"0.012","currency":"usd"}"#,
            r#"{"amount":"0.012","currency":"USD","per":"hour"}"#,
            r#"{"amount":"0.012"}"#,
        ] {
            assert!(serde_json::from_str::<Amount>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_plain_decimals_parse() {
        for bad in [
            "", "-", ".5", "1.", "+1", "1e3", "1,000", " 1", "01", "--1", "1.2.3", "٣", "NaN",
        ] {
            assert_eq!(
                Amount::parse(bad, Currency::USD),
                Err(AmountError::NotADecimal),
                "{bad}"
            );
        }
        assert_eq!(
            Amount::parse("0.1234567890123456789", Currency::USD),
            Err(AmountError::TooPrecise)
        );
        let largest = Amount::from_units(i128::MAX, Currency::USD).decimal();
        assert_eq!(largest, "170141183460469231731.687303715884105727");
        assert_eq!(usd(&largest).units(), i128::MAX);
        assert_eq!(
            Amount::parse("170141183460469231731.687303715884105728", Currency::USD),
            Err(AmountError::Overflow)
        );
        assert_eq!(
            usd("-170141183460469231731.687303715884105728").units(),
            i128::MIN
        );
        assert_eq!(
            Amount::parse(&"9".repeat(4096), Currency::USD),
            Err(AmountError::Overflow)
        );
    }

    #[test]
    fn operations_fail_instead_of_wrapping_or_mixing() {
        let top = Amount::from_units(i128::MAX, Currency::USD);
        assert_eq!(top.checked_add(&usd("1")), Err(AmountError::Overflow));
        assert_eq!(
            Amount::from_units(i128::MIN, Currency::USD).checked_sub(&usd("1")),
            Err(AmountError::Overflow)
        );
        let euro = Amount::parse("1", Currency::EUR).unwrap();
        assert_eq!(
            usd("1").checked_sub(&euro),
            Err(AmountError::CurrencyMismatch {
                left: Currency::USD,
                right: Currency::EUR
            })
        );
        assert_eq!(
            top.times_ratio(3, NonZeroU64::new(2).unwrap()),
            Err(AmountError::Overflow)
        );
        assert_eq!(usd("1").split(&[0, 0]), Err(AmountError::NoWeight));
        assert_eq!(usd("1").split(&[u64::MAX, 1]), Err(AmountError::Overflow));
    }

    #[test]
    fn rounding_is_half_to_even() {
        for (exact, rounded) in [
            ("0.0000005", "0"),
            ("0.0000015", "0.000002"),
            ("0.0000025", "0.000002"),
            ("0.000002500000000001", "0.000003"),
            ("-0.0000015", "-0.000002"),
            ("-0.0000025", "-0.000002"),
        ] {
            assert_eq!(usd(exact).rounded_to_micros(), usd(rounded), "{exact}");
        }
        let half = NonZeroU64::new(2).unwrap();
        assert_eq!(
            Amount::from_units(3, Currency::USD)
                .times_ratio(1, half)
                .unwrap()
                .units(),
            2
        );
        assert_eq!(
            Amount::from_units(1, Currency::USD)
                .times_ratio(1, half)
                .unwrap()
                .units(),
            0
        );
        let top = Amount::from_units(i128::MAX, Currency::USD);
        assert_eq!(top.rounded_to_micros().units() % UNITS_PER_MICRO, 0);
    }

    #[test]
    fn booked_rows_sum_to_the_total_that_is_rounded_once() {
        let rows = [usd("0.0000004"), usd("0.0000004"), usd("0.0000004")];
        let booked = book(Currency::USD, &rows).unwrap();
        let shown: Vec<String> = booked.iter().map(Amount::decimal).collect();
        assert_eq!(shown, ["0.000001", "0", "0"]);
        assert!(book(Currency::EUR, &rows).is_err());
        assert_eq!(book(Currency::EUR, &[]).unwrap(), []);
    }

    proptest! {
        #[test]
        fn text_form_round_trips(units: i128) {
            let amount = Amount::from_units(units, Currency::EUR);
            prop_assert_eq!(amount.to_string().parse::<Amount>().unwrap(), amount);
            let json = serde_json::to_string(&amount).unwrap();
            prop_assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), amount);
        }

        #[test]
        fn parsing_never_panics(text in "[-+0-9.eE ]{0,60}") {
            if let Ok(amount) = Amount::parse(&text, Currency::USD) {
                prop_assert_eq!(Amount::parse(&amount.decimal(), Currency::USD).unwrap(), amount);
            }
        }

        #[test]
        fn parts_sum_to_the_whole(
            units: i128,
            weights in proptest::collection::vec(0_u64..1_000_000, 1..40),
        ) {
            prop_assume!(weights.iter().any(|w| *w > 0));
            let whole = Amount::from_units(units, Currency::USD);
            let parts = whole.split(&weights).unwrap();
            prop_assert_eq!(Amount::sum(Currency::USD, &parts).unwrap(), whole);
            for (part, weight) in parts.iter().zip(&weights) {
                prop_assert!(*weight > 0 || part.is_zero());
                prop_assert!(part.is_zero() || part.is_negative() == whole.is_negative());
            }
        }

        #[test]
        fn a_ratio_agrees_with_exact_division(
            units in -1_000_000_000_000_i128..1_000_000_000_000,
            numerator in 0_u64..1_000_000,
            denominator in 1_u64..1_000_000,
        ) {
            let ratio = NonZeroU64::new(denominator).unwrap();
            let result = Amount::from_units(units, Currency::USD).times_ratio(numerator, ratio);
            let (n, d) = (i128::from(numerator), i128::from(denominator));
            // |result * d - units * n| <= d / 2: the nearest count, whatever the tie rule.
            let error = (result.unwrap().units() * d - units * n).abs();
            prop_assert!(error * 2 <= d);
        }

        #[test]
        fn booking_keeps_the_rounded_total(
            units in proptest::collection::vec(-10_i128.pow(24)..10_i128.pow(24), 0..30),
        ) {
            let rows: Vec<Amount> =
                units.iter().map(|u| Amount::from_units(*u, Currency::USD)).collect();
            let booked = book(Currency::USD, &rows).unwrap();
            let total = Amount::sum(Currency::USD, &rows).unwrap().rounded_to_micros();
            prop_assert_eq!(Amount::sum(Currency::USD, &booked).unwrap(), total);
            for (row, booked) in rows.iter().zip(&booked) {
                prop_assert_eq!(booked.units() % UNITS_PER_MICRO, 0);
                prop_assert!((row.units() - booked.units()).abs() <= UNITS_PER_MICRO);
            }
        }
    }
}
