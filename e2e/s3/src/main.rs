//! `s3 ROOT KEY`: s3s-fs on a free port of 127.0.0.1, which it prints. Its listings lack the ETags that S3's have; they are
//! added here.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Mutex;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

struct Server {
    files: FileSystem,
    etags: Mutex<HashMap<(String, String), ETag>>,
}

impl Server {
    fn remember(&self, bucket: String, key: String, etag: Option<ETag>) {
        if let (Some(etag), Ok(mut etags)) = (etag, self.etags.lock()) {
            etags.insert((bucket, key), etag);
        }
    }
}

type Answer<T> = S3Result<S3Response<T>>;

#[async_trait::async_trait]
impl S3 for Server {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        let answer = self.files.put_object(request).await?;
        self.remember(bucket, key, answer.output.e_tag.clone());
        Ok(answer)
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        let mut answer = self.files.complete_multipart_upload(request).await?;
        // Its answer may come after its head, as S3's does when assembling takes long.
        if let Some(rest) = answer.output.future.take() {
            answer.output = rest.await?;
        }
        self.remember(bucket, key, answer.output.e_tag.clone());
        Ok(answer)
    }

    async fn list_objects_v2(&self, request: S3Request<ListObjectsV2Input>) -> Answer<ListObjectsV2Output> {
        let bucket = request.input.bucket.clone();
        let mut answer = self.files.list_objects_v2(request).await?;
        if let Ok(etags) = self.etags.lock() {
            for object in answer.output.contents.iter_mut().flatten() {
                let key = object.key.clone().unwrap_or_default();
                object.e_tag = etags.get(&(bucket.clone(), key)).cloned();
            }
        }
        Ok(answer)
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        self.files.get_object(request).await
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        self.files.head_object(request).await
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
        self.files.delete_object(request).await
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        self.files.create_multipart_upload(request).await
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        self.files.upload_part(request).await
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        self.files.abort_multipart_upload(request).await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(root), Some(key)) = (arguments.next(), arguments.next()) else {
        return Err("usage: s3 ROOT KEY".into());
    };
    let files = FileSystem::new(root).map_err(|error| format!("{error:?}"))?;
    let mut builder = S3ServiceBuilder::new(Server { files, etags: Mutex::default() });
    builder.set_auth(SimpleAuth::from_single(key.clone(), key));
    let service = builder.build();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (socket, _) = listener.accept().await?;
        // An answer's head and body are written apart: the second is not to wait until the first was acknowledged.
        socket.set_nodelay(true)?;
        let service = service.clone();
        tokio::spawn(async move {
            // A connection that breaks concerns nobody else.
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
        });
    }
}
