//! Where layers find room for their weights, by upstream's names.

use crate::Result;
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    ops::Div,
};
use tch::{
    Tensor,
    nn::{self, Init},
};

/// Shapes of weights by name.
pub type Shapes = BTreeMap<String, Vec<i64>>;

/// The place of a layer's weights: in a store, or in an outline, which notes their shapes and takes no
/// memory for them.
#[derive(Debug, Clone)]
pub struct Path<'a>(Place<'a>);

#[derive(Debug, Clone)]
enum Place<'a> {
    Store(nn::Path<'a>),
    Outline(String, &'a RefCell<Shapes>),
    Second(String, &'a Second<'a>),
}

/// The weights of a second set of some layers beside the first one, which all other layers share.
#[derive(Debug)]
pub struct Second<'a> {
    /// Where the second set lies.
    place: Path<'a>,
    /// What the names of the layers start with that are in it.
    own: &'static [&'static str],
    /// The first set's weights. None of them are needed for an outline.
    first: HashMap<String, Tensor>,
}

impl<'a> Second<'a> {
    /// See the fields.
    pub fn new(
        place: Path<'a>,
        own: &'static [&'static str],
        first: HashMap<String, Tensor>,
    ) -> Self {
        Self { place, own, first }
    }

    fn variable(&self, path: &str, name: &str, shape: &[i64], init: Init) -> Result<Tensor> {
        let whole = joined(path, name);
        if self.own.iter().any(|own| whole.starts_with(own)) {
            let names = path.split('.').filter(|name| !name.is_empty());
            let place = names.fold(self.place.clone(), |place, name| place.below(name));
            return place.variable(name, shape, init);
        }
        Ok(match self.first.get(&whole) {
            Some(weight) => weight.shallow_clone(),
            None => Tensor::new(),
        })
    }
}

impl<'a> Path<'a> {
    /// The root of an outline that goes to `shapes`. What is made there cannot compute.
    pub fn outline(shapes: &'a RefCell<Shapes>) -> Self {
        Self(Place::Outline(String::new(), shapes))
    }

    /// The root of a network whose weights are partly a second set's.
    pub fn second(second: &'a Second<'a>) -> Self {
        Self(Place::Second(String::new(), second))
    }

    /// A weight of this name here.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where memory runs out.
    pub fn variable(&self, name: &str, shape: &[i64], init: Init) -> Result<Tensor> {
        match &self.0 {
            Place::Store(path) => Ok(path.f_var(name, shape, init)?),
            Place::Outline(path, shapes) => {
                let name = joined(path, name);
                shapes.borrow_mut().insert(name, shape.to_vec());
                Ok(Tensor::new())
            }
            Place::Second(path, second) => second.variable(path, name, shape, init),
        }
    }

    fn below(&self, name: &str) -> Self {
        Self(match &self.0 {
            Place::Store(path) => Place::Store(path / name),
            Place::Outline(path, shapes) => Place::Outline(joined(path, name), shapes),
            Place::Second(path, second) => Place::Second(joined(path, name), second),
        })
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

impl<'a> From<nn::Path<'a>> for Path<'a> {
    fn from(path: nn::Path<'a>) -> Self {
        Self(Place::Store(path))
    }
}

impl<'a, T: ToString> Div<T> for &Path<'a> {
    type Output = Path<'a>;

    fn div(self, name: T) -> Path<'a> {
        self.below(&name.to_string())
    }
}

impl<'a, T: ToString> Div<T> for Path<'a> {
    type Output = Path<'a>;

    fn div(self, name: T) -> Path<'a> {
        self.below(&name.to_string())
    }
}
