//! Where layers find room for their weights, by upstream's names.

use crate::Result;
use std::{cell::RefCell, collections::BTreeMap, ops::Div};
use tch::{
    Tensor,
    nn::{self, Init},
};

/// Shapes of weights by name.
pub type Shapes = BTreeMap<String, Vec<i64>>;

/// The place of a layer's weights: in a store, or in an outline, which notes their shapes and takes no
/// memory for them.
#[derive(Debug)]
pub struct Path<'a>(Place<'a>);

#[derive(Debug, Clone)]
enum Place<'a> {
    Store(nn::Path<'a>),
    Outline(String, &'a RefCell<Shapes>),
}

impl<'a> Path<'a> {
    /// The root of an outline that goes to `shapes`. What is made there cannot compute.
    pub fn outline(shapes: &'a RefCell<Shapes>) -> Self {
        Self(Place::Outline(String::new(), shapes))
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
        }
    }

    fn below(&self, name: &str) -> Self {
        Self(match &self.0 {
            Place::Store(path) => Place::Store(path / name),
            Place::Outline(path, shapes) => Place::Outline(joined(path, name), shapes),
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
