//! Random numbers that are the same on every machine and with every version of every library.

/// A stream of random numbers (splitmix64), named by up to three numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The 64-bit FNV-1a hash: a number for a name.
pub fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

impl Random {
    /// Stream `number` of the family `family` under `seed`.
    pub fn new(seed: u64, family: u64, number: u64) -> Self {
        let keyed =
            |state: u64, key: u64| mix(state.wrapping_add(STEP) ^ mix(key.wrapping_add(STEP)));
        Self(keyed(keyed(mix(seed.wrapping_add(STEP)), family), number))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A whole number from 0 to `n` - 1 (0 for `n` = 0).
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// In \[`low`, `high`).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * ((self.bits() >> 11) as f64 * (-53f64).exp2())
    }

    /// Normally distributed, mean 0, variance 1: two at a time, as Box and Muller have it.
    pub fn normal_pair(&mut self) -> (f64, f64) {
        let radius = (-2.0 * (1.0 - self.between(0.0, 1.0)).ln()).sqrt();
        let (sin, cos) = self.between(0.0, std::f64::consts::TAU).sin_cos();
        (radius * cos, radius * sin)
    }

    /// Puts a list in random order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let first = |seed, family, number| Random::new(seed, family, number).bits();
        assert_eq!(first(1, 2, 3), first(1, 2, 3));
        let others = [
            first(1, 2, 4),
            first(1, 3, 3),
            first(2, 2, 3),
            first(1, 3, 2),
            first(3, 2, 1),
        ];
        assert!(!others.contains(&first(1, 2, 3)));
        assert_eq!(Random::new(0, 0, 0).below(0), 0);
    }

    #[test]
    fn moments_are_right() {
        let mut random = Random::new(7, 0, 0);
        let n = 20_000;
        let (mut sum, mut squares, mut low) = (0.0, 0.0, 0);
        for _ in 0..n / 2 {
            let (a, b) = random.normal_pair();
            sum += a + b;
            squares += a * a + b * b;
            low += u32::from(random.below(10) < 3);
        }
        assert!((sum / f64::from(n)).abs() < 0.03 && (squares / f64::from(n) - 1.0).abs() < 0.03);
        assert!((f64::from(low) / f64::from(n / 2) - 0.3).abs() < 0.02);
    }
}
