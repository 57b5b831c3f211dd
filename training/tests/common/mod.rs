//! Small data sets made on the spot.
#![allow(dead_code)] // each test file uses its own part

use refvsr_train::data::{
    png::{self, Picture},
    tree::{Density, Lens, frame_name},
};
use std::{fs, path::Path};

/// A pixel that tells where it is: lens, frame and position can be read off it.
pub fn pixel(lens: Lens, frame: usize, x: usize, y: usize) -> [u8; 3] {
    [x as u8, y as u8, (lens.zoom() * 20 + frame) as u8]
}

/// A clip in all nine folders; `full` is the size of HR frames.
pub fn clip(root: &Path, split: &str, name: &str, frames: usize, full: (usize, usize)) {
    for density in Density::ALL {
        for lens in Lens::ALL {
            let folder = root.join(split).join(density.folder()).join(lens.folder()).join(name);
            fs::create_dir_all(&folder).unwrap();
            let (width, height) = (full.0 / density.scale(), full.1 / density.scale());
            for frame in 0..frames {
                let data = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(lens, frame, x, y))).collect();
                png::write(&folder.join(frame_name(frame)), &Picture { width, height, data }).unwrap();
            }
        }
    }
}
