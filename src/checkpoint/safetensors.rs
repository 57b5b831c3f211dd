//! Safetensors files, with the config as metadata.

use super::{
    limits::{MAX_DESCRIPTION, MAX_DIMENSIONS, check_header},
    problem::{Problem, malformed},
    tensors::{CARRIER, Tensors, is_finite, tensor_of},
};
use crate::{ModelConfig, Network, error::CheckpointProblem};
use ::safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use tch::{Device, Kind};

/// The metadata key that holds the config.
const KEY: &str = "refvsr";
/// The version of its form that this crate writes, and the highest it reads.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Metadata {
    format: u32,
    config: ModelConfig,
}

pub fn parse(bytes: &[u8]) -> Problem<(Tensors, Option<ModelConfig>)> {
    if let Some((length, rest)) = bytes.split_first_chunk() {
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(malformed)?;
        if length > MAX_DESCRIPTION {
            return Err(malformed("its header is far larger than a model's"));
        }
        check_header(&rest[..length.min(rest.len())], bytes.len())?;
    }
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
    let config = metadata
        .metadata()
        .as_ref()
        .and_then(|m| m.get(KEY))
        .map(|text| parse_config(text))
        .transpose()?;
    let tensors = metadata.tensors();
    let data = bytes.get(size_of::<u64>() + header..).unwrap_or_default();
    let (mut read, mut unread) = (Tensors::new(), vec![]);
    for (name, info) in tensors {
        let Some(kind) = kind_of(info.dtype) else {
            unread.push(format!("{name} ({:?})", info.dtype));
            continue;
        };
        let wrong = |what: &str| malformed(format!("tensor '{name}' {what}"));
        if info.shape.len() > MAX_DIMENSIONS {
            return Err(wrong("has more dimensions than any weight"));
        }
        let shape = info.shape.iter().map(|&d| i64::try_from(d));
        let shape = shape.collect::<Result<Vec<_>, _>>().map_err(malformed)?;
        let (start, end) = info.data_offsets;
        let own = data.get(start..end).ok_or_else(|| wrong("lies outside"))?;
        read.insert(name, tensor_of(own, &shape, kind)?);
    }
    if unread.is_empty() {
        return Ok((read, config));
    }
    unread.sort();
    Err(CheckpointProblem::WrongType { tensors: unread })
}

fn parse_config(text: &str) -> Problem<ModelConfig> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let wrong = |e: serde_json::Error| CheckpointProblem::Metadata(e.to_string());
    let Version { format } = serde_json::from_str(text).map_err(wrong)?;
    if format != FORMAT {
        return Err(CheckpointProblem::Metadata(format!(
            "its format is {format}, this version reads format {FORMAT}"
        )));
    }
    Ok(serde_json::from_str::<Metadata>(text)
        .map_err(wrong)?
        .config)
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::I16 => Kind::Int16,
        Dtype::I8 => Kind::Int8,
        Dtype::U8 => Kind::Uint8,
        _ => return None,
    })
}

/// A network as a file's bytes, without a carrier of zeros: it comes back as that.
pub fn bytes_of(network: &Network, kind: Kind) -> Problem<Vec<u8>> {
    let dtype = match kind {
        Kind::Half => Dtype::F16,
        Kind::Float => Dtype::F32,
        other => {
            return Err(CheckpointProblem::WrongType {
                tensors: vec![format!("all ({other:?})")],
            });
        }
    };
    let (mut data, mut infinite) = (BTreeMap::new(), vec![]);
    for (name, variable) in network.weights().variables() {
        let tensor = variable
            .f_detach()
            .and_then(|t| t.f_to_device(Device::Cpu))
            .and_then(|t| t.f_to_kind(kind))
            .map_err(malformed)?;
        if !is_finite(&tensor)? {
            infinite.push(name);
            continue;
        }
        let mut bytes = vec![0; tensor.numel() * kind.elt_size_in_bytes()];
        tensor
            .f_contiguous()
            .and_then(|t| t.f_copy_data_u8(&mut bytes, tensor.numel()))
            .map_err(malformed)?;
        let shape: Vec<usize> = tensor
            .size()
            .into_iter()
            .filter_map(|d| usize::try_from(d).ok())
            .collect();
        data.insert(name, (shape, bytes));
    }
    if !infinite.is_empty() {
        infinite.sort();
        return Err(CheckpointProblem::NotFinite { names: infinite });
    }
    let carries = |name: &String| name.starts_with(CARRIER);
    let is_zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
    let mut carrier = data.iter().filter(|(name, _)| carries(name));
    if carrier.all(|(_, (_, bytes))| is_zero(bytes)) {
        data.retain(|name, _| !carries(name));
    }
    let views = data
        .iter()
        .map(|(name, (shape, bytes))| Ok((name, TensorView::new(dtype, shape.clone(), bytes)?)));
    let views = views
        .collect::<Result<Vec<_>, ::safetensors::SafeTensorError>>()
        .map_err(malformed)?;
    let metadata = serde_json::to_string(&Metadata {
        format: FORMAT,
        config: network.config().clone(),
    })
    .map_err(malformed)?;
    ::safetensors::serialize(views, Some(HashMap::from([(KEY.to_owned(), metadata)])))
        .map_err(malformed)
}
